import type { Client, Errors, Inputs, Outputs } from "./schema.js";

/** Any JSON. */
export type JsonValue = string | number | boolean | null | JsonValue[] | JsonObject;

/** A JSON object of no fixed shape. */
export interface JsonObject {
  [key: string]: JsonValue;
}

/** The name of a procedure. */
export type Method = keyof Inputs;

/** What can go wrong on the way to the server and back, whatever is called. */
export type TransportFailure =
  /** The server could not be reached, or the connection broke; `error.cause` has the reason. */
  | { kind: "NETWORK" }
  /** Something on the way answered, not the server: a proxy, a wrong URL. */
  | { kind: "HTTP"; status: number; retryAfterMs?: number }
  /** No answer within `timeoutMs`. */
  | { kind: "TIMEOUT" }
  /** The call's signal was aborted; `error.cause` has the reason. */
  | { kind: "ABORTED" }
  /** An answer that is none of the documented ones: `error.code` is JSON-RPC's own, or 0. */
  | { kind: "PROTOCOL" };

/** A failed call. `kind` tells which, and narrows `data`. */
export declare class RpcError<D extends { kind: string } = { kind: string }> extends Error {
  constructor(method: Method, code: number, message: string, data: D, cause?: unknown);
  /** The procedure that was called. */
  readonly method: Method;
  /** The JSON-RPC code; 0 where no server answered. */
  readonly code: number;
  /** What went wrong: `data.kind`. */
  readonly kind: D["kind"];
  /** The fields of the kind. */
  readonly data: D;
}

type ErrorOf<D> = D extends { kind: string } ? RpcError<D> : never;

/** Every error a procedure can fail with: a union, told apart by `kind`. */
export type Failure<M extends Method> = ErrorOf<Errors[M] | TransportFailure>;

/** What `.safe()` answers. */
export type Result<M extends Method> = { ok: true; data: Outputs[M] } | { ok: false; error: Failure<M> };

/** For one call. */
export interface CallOptions {
  /** Gives the call up. What it changes may still happen on the server. */
  signal?: AbortSignal | undefined;
  /** Instead of the client's; for each try. */
  timeoutMs?: number | undefined;
  /** Beside the client's. The call is then sent alone. */
  headers?: HeadersLike | undefined;
  /** `false` sends the call alone. */
  batch?: boolean | undefined;
  /** `false` tries once. */
  retry?: false | undefined;
}

/** What `Headers` takes. */
export type HeadersLike = Headers | Record<string, string> | [string, string][];

/** For every call. */
export interface ClientOptions {
  /** Of the server's `/rpc`. */
  url: string | URL;
  /** The bearer token, or a function that is asked for it before each request. */
  token?: string | (() => string | undefined | Promise<string | undefined>) | undefined;
  /** Instead of the global one. */
  fetch?: typeof globalThis.fetch | undefined;
  /** Instead of the global one, for subscriptions: Node 20 has none, `ws` has. */
  WebSocket?: SocketConstructor | undefined;
  /** Sent along, or a function that is asked for them before each request. */
  headers?: HeadersLike | (() => HeadersLike | Promise<HeadersLike>) | undefined;
  /** Calls made in the same tick travel together, up to what the server takes. A number lowers that, `false` turns
   * it off. In a batch a mutation waits for what was called before it. */
  batch?: boolean | number | undefined;
  /** How long one try may take: 15,000 unless said; 0 is for ever. */
  timeoutMs?: number | undefined;
  /** How often a call is tried; `false` is once. */
  retry?: false | RetryOptions | undefined;
}

/**
 * Calls are tried again after NETWORK, TIMEOUT, BUSY, RATE_LIMITED, IN_PROGRESS, PROVIDER_UNAVAILABLE and HTTP 429,
 * 502, 503 or 504, as long as repeating them is harmless: a create without its key (`idempotencyKey`, or `id`) is tried
 * once.
 */
export interface RetryOptions {
  /** Tries in all: 3 unless said. */
  attempts?: number | undefined;
  /** The first pause: 250 unless said. It doubles each time, with jitter; where the server says how long to wait, that
   * counts instead. */
  baseMs?: number | undefined;
}

/** A procedure's arguments: the input may be left out where all its fields may. */
export type Args<M extends Method> = {} extends Inputs[M]
  ? [input?: Inputs[M], options?: CallOptions]
  : [input: Inputs[M], options?: CallOptions];

/** A procedure. Throws {@link Failure}. */
export interface Procedure<M extends Method> {
  (...args: Args<M>): Promise<Outputs[M]>;
  /** The same, but a failed call is an answer, typed by what this procedure can fail with. */
  safe(...args: Args<M>): Promise<Result<M>>;
  /** Its name. */
  readonly method: M;
  /** Whether it changes anything. */
  readonly kind: "query" | "mutation";
}

/** A procedure that only looks. */
export interface Query<M extends Method> extends Procedure<M> {
  readonly kind: "query";
}

/** A procedure that changes something. */
export interface Mutation<M extends Method> extends Procedure<M> {
  readonly kind: "mutation";
}

/** A list. */
export interface PagedQuery<M extends Method> extends Query<M> {
  /** Every page from `cursor` on: `for await (const page of client.payment.list.pages())`. */
  pages(...args: Args<M>): AsyncGenerator<Outputs[M], void, undefined>;
  /** Every row of these pages. */
  items(...args: Args<M>): AsyncGenerator<Item<M>, void, undefined>;
}

/** A procedure that tells of what happens, over a WebSocket of its own. */
export interface Subscription<M extends Method> {
  /**
   * Begins it, and ends it when the loop ends: `for await (const change of client.payment.onStatusChange())`. Where the
   * socket breaks another is opened, for ever once one stood, and goes on after the last `sequence` that came, without
   * a gap or a repeat. Throws {@link Failure}.
   */
  (...args: SubscribeArgs<M>): AsyncGenerator<Outputs[M], void, undefined>;
  /** Its name. */
  readonly method: M;
  readonly kind: "subscription";
}

/** A subscription's arguments. */
export type SubscribeArgs<M extends Method> = {} extends Inputs[M]
  ? [input?: Inputs[M], options?: SubscribeOptions]
  : [input: Inputs[M], options?: SubscribeOptions];

/** For one subscription. */
export interface SubscribeOptions {
  /** Ends it: the loop throws ABORTED. */
  signal?: AbortSignal | undefined;
  /** Called each time it stands, so that what was read before can be read anew. */
  onOpen?: (() => void) | undefined;
  /** `false` throws NETWORK when the socket breaks. */
  retry?: false | undefined;
}

/** What is needed of a WebSocket. */
export interface SocketLike {
  send(text: string): void;
  close(): void;
  addEventListener(event: "open" | "close" | "error", listener: () => void): void;
  addEventListener(event: "message", listener: (message: { data: unknown }) => void): void;
}

/** `WebSocket`, or the class of that name from the package `ws`. */
export type SocketConstructor = new (url: string, protocols: string[]) => SocketLike;

/** A row of a list. */
export type Item<M extends Method> = Outputs[M] extends { items: (infer T)[] } ? T : never;

/** Makes a client. It holds no connection; make as many as you like. */
export declare function createClient(options: ClientOptions): Client;

/** Whether a caught error is a failed call, and of this procedure. */
export declare function isRpcError<M extends Method>(error: unknown, procedure: { readonly method: M }): error is Failure<M>;
export declare function isRpcError(error: unknown): error is Failure<Method>;
