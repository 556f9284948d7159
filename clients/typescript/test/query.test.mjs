// The option objects, with the real TanStack Query against a live server.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { createClient } from "@quittance/client";
import { infiniteQueryOptions, mutationOptions, namespaceKey, queryKey, queryOptions } from "@quittance/client/query";
import { InfiniteQueryObserver, MutationObserver, QueryClient } from "@tanstack/query-core";
import { create, startServer } from "./server.mjs";

let server, client;
const queries = new QueryClient();
before(async () => {
  server = await startServer();
  client = createClient({ url: server.url, token: server.ready.agentToken });
});
after(async () => {
  queries.clear();
  await server.stop();
});

test("a query, a mutation, and what it makes stale", async () => {
  const { ledgerEntryId: paymentId } = await client.payment.createPaymentTask(create);
  const one = queryOptions(client.payment.getPaymentStatus, { paymentId });
  assert.equal((await queries.fetchQuery(one)).status, "pending");
  await queries.fetchQuery(queryOptions(client.todo.list));
  const cancel = new MutationObserver(queries, mutationOptions(client.payment.cancelPayment));
  assert.equal((await cancel.mutate({ paymentId })).status, "cancelled");
  const stale = (options) => queries.getQueryState(options.queryKey).isInvalidated;
  await queries.invalidateQueries({ queryKey: queryKey(client.payment.list) });
  assert.equal(stale(one), false);
  await queries.invalidateQueries({ queryKey: namespaceKey("payment") });
  assert.deepEqual([stale(one), stale(queryOptions(client.todo.list))], [true, false]);
});

test("an error is not retried for seconds, and keeps its kind", async () => {
  const begun = Date.now();
  const absent = queryOptions(client.payment.getPaymentStatus, { paymentId: "nothing" });
  await assert.rejects(queries.fetchQuery(absent), { kind: "NOT_FOUND" });
  assert.ok(Date.now() - begun < 1_000);
});

test("an infinite query turns the pages", async () => {
  await Promise.all([1, 2, 3].map((n) => client.todo.create({ id: `page-${n}`, title: "x", tenancyId: "pages" })));
  const options = infiniteQueryOptions(client.todo.list, { tenancyId: "pages", limit: 2 });
  const observer = new InfiniteQueryObserver(queries, options);
  await observer.refetch();
  assert.equal(observer.getCurrentResult().hasNextPage, true);
  const { data, hasNextPage } = await observer.fetchNextPage();
  assert.deepEqual([data.pages.map((page) => page.items.length), hasNextPage], [[2, 1], false]);
  await queries.invalidateQueries({ queryKey: queryKey(client.todo.list, { tenancyId: "pages", limit: 2 }) });
  assert.equal(queries.getQueryState(options.queryKey).isInvalidated, true);
});
