import type { Method, Mutation, PagedQuery, Query } from "./client.js";
import type { Inputs, Outputs } from "./schema.js";

/** `["quittance", namespace, name, { input }]`: a shorter key matches every longer one, so that whole groups can be
 * invalidated. */
export type QueryKey = readonly unknown[];

/** The options of TanStack's `useQuery`, `fetchQuery`, … The client retries by itself. */
export interface QueryOptions<M extends Method> {
  queryKey: QueryKey;
  queryFn: (context: { signal: AbortSignal }) => Promise<Outputs[M]>;
  retry: false;
}

/** The options of TanStack's `useInfiniteQuery`: one page after the other. */
export interface InfiniteQueryOptions<M extends Method> {
  queryKey: QueryKey;
  queryFn: (context: { signal: AbortSignal; pageParam: string | null }) => Promise<Outputs[M]>;
  initialPageParam: string | null;
  getNextPageParam: (page: Outputs[M]) => string | null;
  retry: false;
}

/** The options of TanStack's `useMutation`. */
export interface MutationOptions<M extends Method> {
  mutationKey: QueryKey;
  mutationFn: (input: Inputs[M]) => Promise<Outputs[M]>;
  retry: false;
}

type InputArgs<M extends Method> = {} extends Inputs[M]
  ? [input?: Inputs[M]]
  : [input: Inputs[M]];

/** The key of a query: of one input, or of all of them. */
export declare function queryKey<M extends Method>(procedure: Query<M>, input?: Inputs[M]): QueryKey;

/** The key of all queries of a namespace, such as `"payment"`. */
export declare function namespaceKey(namespace: Method extends `${infer N}.${string}` ? N : never): QueryKey;

/** `useQuery(queryOptions(client.payment.getPaymentStatus, { paymentId }))` */
export declare function queryOptions<M extends Method>(procedure: Query<M>, ...input: InputArgs<M>): QueryOptions<M>;

/** `useInfiniteQuery(infiniteQueryOptions(client.payment.list, { status: "pending" }))` */
export declare function infiniteQueryOptions<M extends Method>(
  procedure: PagedQuery<M>,
  ...input: InputArgs<M>
): InfiniteQueryOptions<M>;

/** `useMutation(mutationOptions(client.payment.cancelPayment))` */
export declare function mutationOptions<M extends Method>(procedure: Mutation<M>): MutationOptions<M>;
