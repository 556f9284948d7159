// The runtime: from a call to a request and back. Types are in client.d.ts.

import { batchMax, methods } from "./schema.js";

/**
 * @typedef {import("./client.js").CallOptions} CallOptions
 * @typedef {import("./client.js").Method} Method
 * @typedef {{ kind: string; retryAfterMs?: number; status?: number }} Data
 */

/** Failures that may pass. */
const PASSING = ["NETWORK", "TIMEOUT", "BUSY", "RATE_LIMITED", "IN_PROGRESS", "PROVIDER_UNAVAILABLE"];
/** Statuses of proxies that may pass. */
const PASSING_STATUSES = [429, 502, 503, 504];
/** Nobody waits longer than this for a retry. */
const MAX_PAUSE_MS = 60_000;
/** Changes that may wait for a slow reader. */
const MAX_UNREAD = 1_000;

export class RpcError extends Error {
  /** @param {Method} method @param {number} code @param {string} message @param {Data} data @param {unknown} [cause] */
  constructor(method, code, message, data, cause) {
    super(message, cause === undefined ? undefined : { cause });
    // What fetch calls it, and what others look for.
    this.name = data.kind === "ABORTED" ? "AbortError" : "RpcError";
    this.method = method;
    this.code = code;
    this.kind = data.kind;
    this.data = data;
  }
}

/** @param {unknown} error @param {{ method: Method }} [procedure] */
export function isRpcError(error, procedure) {
  return error instanceof RpcError && (!procedure || error.method === procedure.method);
}

/** One try of one call. */
class Job {
  done = false;
  /** Told when the job needs its request no longer. */
  leave = () => {};

  /** @param {number} id @param {Method} method @param {unknown} params @param {CallOptions} options */
  constructor(id, method, params, { signal, timeoutMs, headers }) {
    this.id = id;
    this.method = method;
    this.params = params;
    this.headers = headers;
    /** @type {Promise<unknown>} */
    this.answer = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    const aborted = () => this.fail("ABORTED", "the call was aborted", signal?.reason);
    const timer = timeoutMs ? setTimeout(() => this.fail("TIMEOUT", `no answer in ${timeoutMs} ms`), timeoutMs) : 0;
    this.tidy = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", aborted);
    };
    signal?.addEventListener("abort", aborted);
    if (signal?.aborted) aborted();
  }

  /** @param {() => void} settle */
  end(settle) {
    if (this.done) return;
    this.done = true;
    this.tidy?.();
    settle();
    this.leave();
  }

  /** @param {string} kind @param {string} message @param {unknown} [cause] */
  fail(kind, message, cause) {
    this.refuse(0, message, { kind }, cause);
  }

  /** @param {number} code @param {string} message @param {Data} data @param {unknown} [cause] */
  refuse(code, message, data, cause) {
    this.end(() => this.reject?.(new RpcError(this.method, code, message, data, cause)));
  }
}

/** @param {import("./client.js").ClientOptions} options */
export function createClient(options) {
  const { url, batch = true, timeoutMs = 15_000, retry = {} } = options;
  const most = batch === false ? 1 : Math.min(batch === true ? batchMax : batch, batchMax);
  let lastId = 0;
  /** @type {Job[]} */
  let waiting = [];

  /** @param {Job[]} jobs */
  const send = async (jobs) => {
    jobs = jobs.filter((job) => !job.done);
    let open = jobs.length;
    if (!open) return;
    const controller = new AbortController();
    for (const job of jobs) job.leave = () => --open || controller.abort();

    /** @type {Headers} */
    let headers;
    try {
      headers = new Headers(await valueOf(options.headers));
      new Headers(jobs[0]?.headers).forEach((value, name) => headers.set(name, value));
      headers.set("content-type", "application/json");
      const token = await valueOf(options.token);
      if (token) headers.set("authorization", `Bearer ${token}`);
    } catch (cause) {
      // The application's own fault: it gets its own error back.
      for (const job of jobs) job.end(() => job.reject?.(cause));
      return;
    }

    const calls = jobs.map(({ id, method, params }) => ({ jsonrpc: "2.0", id, method, params }));
    const body = JSON.stringify(calls.length > 1 ? calls : calls[0]);
    /** @type {Response} */
    let response;
    let text = "";
    try {
      response = await (options.fetch ?? fetch)(url, { method: "POST", headers, body, signal: controller.signal });
      text = await response.text();
    } catch (cause) {
      for (const job of jobs) job.fail("NETWORK", "the server could not be reached", cause);
      return;
    }

    const answers = [parse(text)].flat();
    // An answer to nobody is the fate of all that was sent.
    const whole = answers.length === 1 && answers[0]?.id == null ? answers[0] : undefined;
    for (const job of jobs) {
      const answer = answers.find((answer) => answer?.id === job.id) ?? whole;
      if (answer?.error) {
        const { code, message, data } = answer.error;
        job.refuse(code, message, data?.kind ? data : { kind: "PROTOCOL" });
      } else if (answer?.result !== undefined) {
        job.end(() => job.resolve?.(answer.result));
      } else if (response.ok) {
        job.fail("PROTOCOL", "the answer is missing");
      } else {
        const { status } = response;
        const seconds = Number(response.headers.get("retry-after") || NaN);
        const pause = seconds >= 0 ? { retryAfterMs: seconds * 1_000 } : {};
        job.refuse(0, `HTTP ${status}`, { kind: "HTTP", status, ...pause });
      }
    }
  };

  const flush = () => {
    const jobs = waiting.filter((job) => !job.done);
    waiting = [];
    while (jobs.length) void send(jobs.splice(0, most));
  };

  /** @param {Method} method @param {unknown} params @param {CallOptions} call */
  const attempt = (method, params, call) => {
    const job = new Job(++lastId, method, params, { timeoutMs, ...call });
    if (most < 2 || call.batch === false || call.headers) void send([job]);
    else if (waiting.push(job) === 1) setTimeout(flush);
    return job.answer;
  };

  /** @param {Method} method @param {any} [input] @param {CallOptions} [call] */
  const run = async (method, input = {}, call = {}) => {
    const { repeatableBy } = /** @type {{ repeatableBy?: string }} */ (methods[method]);
    const harmless = !repeatableBy || input[repeatableBy] != null;
    const tries = harmless && retry && call.retry !== false ? (retry.attempts ?? 3) : 1;
    for (let tried = 1; ; tried++) {
      try {
        return await attempt(method, input, call);
      } catch (error) {
        const pause = tried < tries && pauseAfter(error, tried, (retry && retry.baseMs) || 250);
        if (pause === false || pause > MAX_PAUSE_MS) throw error;
        await sleep(pause, call.signal);
      }
    }
  };

  /**
   * The notifications of a subscription, over as many sockets as it takes: a broken one is replaced, and goes on after
   * the last `sequence` seen.
   * @param {Method} method @param {any} [input] @param {import("./client.js").SubscribeOptions} [call]
   */
  async function* subscribe(method, input, call = {}) {
    const { signal, onOpen } = call;
    const patient = retry && call.retry !== false;
    let { since } = input ?? {};
    let stood = false;
    for (let tried = 1; ; tried++) {
      if (signal?.aborted) throw new RpcError(method, 0, "the call was aborted", { kind: "ABORTED" }, signal.reason);
      /** @type {any[]} */
      const messages = [];
      let wake = () => {};
      let over = false;
      let opened = false;
      const end = () => {
        over = true;
        wake();
      };
      const token = await valueOf(options.token);
      const Socket = /** @type {import("./client.js").SocketConstructor} */ (options.WebSocket ?? WebSocket);
      const address = new URL(url, globalThis.location?.href).href.replace(/^http/, "ws");
      const socket = new Socket(address, ["quittance.v1", ...(token ? [`bearer.${token}`] : [])]);
      socket.addEventListener("open", () => {
        opened = true;
        socket.send(JSON.stringify({ jsonrpc: "2.0", id: 1, method, params: { ...input, since } }));
      });
      socket.addEventListener("message", ({ data }) => {
        if (over) return;
        // Whoever is this far behind gets the rest from the server later.
        if (messages.push(parse(String(data))) > MAX_UNREAD) {
          end();
          socket.close();
        }
        wake();
      });
      for (const event of /** @type {const} */ (["close", "error"])) socket.addEventListener(event, end);
      signal?.addEventListener("abort", end);
      const timer = timeoutMs ? setTimeout(end, timeoutMs) : 0;
      /** @type {RpcError} */
      let error = new RpcError(method, 0, "the socket broke", { kind: "NETWORK" });
      try {
        while (!signal?.aborted) {
          const message = messages.shift();
          if (message?.params?.result) {
            since = message.params.result.sequence;
            yield message.params.result;
          } else if (message?.error) {
            const { code, message: text, data } = message.error;
            error = new RpcError(method, code, text, data?.kind ? data : { kind: "PROTOCOL" });
            break;
          } else if (message?.id === 1) {
            clearTimeout(timer);
            stood = true;
            tried = 1;
            onOpen?.();
          } else if (message || over) {
            // Ended by the server, which says why when asked again; or gone.
            break;
          } else await new Promise((resolve) => (wake = /** @type {() => void} */ (resolve)));
        }
      } finally {
        clearTimeout(timer);
        signal?.removeEventListener("abort", end);
        socket.close();
      }
      if (signal?.aborted) continue;
      if (!opened) {
        // Why a socket was refused is hidden from pages; a call tells.
        const ping = attempt("rpc.ping", {}, { ...call, batch: false });
        await ping.catch((cause) => {
          if (!(cause instanceof RpcError)) throw cause;
          error = new RpcError(method, cause.code, cause.message, cause.data, cause.cause);
        });
        if (signal?.aborted) continue;
      }
      const pause = pauseAfter(error, tried, (retry && retry.baseMs) || 250);
      if (pause === false || !patient || !(stood || tried < (retry.attempts ?? 3))) throw error;
      await sleep(Math.min(pause, MAX_PAUSE_MS / 2), signal);
    }
  }

  /** @param {Method} method */
  const procedure = (method) => {
    const { kind, paged } = /** @type {{ kind: string; paged?: boolean }} */ (methods[method]);
    if (kind === "subscription") {
      /** @param {any} [input] @param {any} [call] */
      const it = (input, call) => subscribe(method, input, call);
      return Object.assign(it, { method, kind });
    }
    /** @param {any} [input] @param {CallOptions} [call] */
    const it = (input, call) => run(method, input, call);
    /** @param {any} [input] @param {CallOptions} [call] */
    const safe = (input, call) =>
      it(input, call).then(
        (data) => ({ ok: true, data }),
        (error) => {
          if (error instanceof RpcError) return { ok: false, error };
          throw error;
        },
      );
    if (!paged) return Object.assign(it, { safe, method, kind });

    /** @param {any} [input] @param {CallOptions} [call] */
    async function* pages(input, call) {
      for (let cursor = input?.cursor; ; ) {
        const page = /** @type {{ items: unknown[]; nextCursor: string | null }} */ (await it({ ...input, cursor }, call));
        yield page;
        cursor = page.nextCursor;
        if (cursor === null) return;
      }
    }
    /** @param {any} [input] @param {CallOptions} [call] */
    async function* items(input, call) {
      for await (const page of pages(input, call)) yield* page.items;
    }
    return Object.assign(it, { safe, method, kind, pages, items });
  };

  /** @type {Record<string, Record<string, unknown>>} */
  const client = {};
  for (const method of /** @type {Method[]} */ (Object.keys(methods))) {
    const [namespace = "", name = ""] = method.split(".");
    (client[namespace] ??= {})[name] = procedure(method);
  }
  return client;
}

/** @template T @param {T | (() => T | Promise<T>) | undefined} it */
function valueOf(it) {
  return typeof it === "function" ? /** @type {() => T | Promise<T>} */ (it)() : it;
}

/** @param {string} text @returns {any} */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** How long to wait before the next try; `false` is: do not. @param {unknown} error @param {number} tried @param {number} base */
function pauseAfter(error, tried, base) {
  if (!(error instanceof RpcError)) return false;
  const { kind, retryAfterMs, status = 0 } = error.data;
  if (!PASSING.includes(kind) && !PASSING_STATUSES.includes(status)) return false;
  return retryAfterMs ?? base * 2 ** (tried - 1) * (0.5 + Math.random() / 2);
}

/** Waits; not beyond an abort, which the next try then reports. @param {number} ms @param {AbortSignal} [signal] */
function sleep(ms, signal) {
  return /** @type {Promise<void>} */ (
    new Promise((resolve) => {
      const wake = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      const timer = setTimeout(wake, ms);
      signal?.addEventListener("abort", wake);
      if (signal?.aborted) wake();
    })
  );
}
