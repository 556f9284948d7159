// The option objects fit TanStack Query's own types. Never run.
import { createClient, type Outputs } from "@quittance/client";
import { infiniteQueryOptions, mutationOptions, namespaceKey, queryKey, queryOptions } from "@quittance/client/query";
import { InfiniteQueryObserver, MutationObserver, QueryClient } from "@tanstack/query-core";

const client = createClient({ url: "" });
const queries = new QueryClient();

export async function check(): Promise<void> {
  const page: Outputs["payment.list"] = await queries.fetchQuery(queryOptions(client.payment.list, { status: "pending" }));
  const stats: Outputs["payment.stats"] = await queries.fetchQuery(queryOptions(client.payment.stats));
  const pages = await queries.fetchInfiniteQuery(infiniteQueryOptions(client.payment.list));
  const all: Outputs["payment.list"][] = pages.pages;
  new InfiniteQueryObserver(queries, infiniteQueryOptions(client.todo.list, { limit: 3 }));
  const cancel = new MutationObserver(queries, mutationOptions(client.payment.cancelPayment));
  const { status } = await cancel.mutate({ paymentId: "x" });
  await queries.invalidateQueries({ queryKey: queryKey(client.payment.list, { status: "failed" }) });
  await queries.invalidateQueries({ queryKey: namespaceKey("payment") });
  [page, stats, all, status];
  // @ts-expect-error the input is required
  queryOptions(client.payment.getPaymentStatus);
  // @ts-expect-error a mutation is no query
  queryOptions(client.payment.cancelPayment, { paymentId: "x" });
  // @ts-expect-error a query is no mutation
  mutationOptions(client.payment.list);
  // @ts-expect-error not a list
  infiniteQueryOptions(client.payment.stats);
  // @ts-expect-error no such namespace
  namespaceKey("payments");
}
