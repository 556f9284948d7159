// The client against a live server.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { createClient, isRpcError, methods, PaymentStatus, RpcError } from "@quittance/client";
import { create, startServer } from "./server.mjs";

let server, posts, client, admin;
const counted = (url, init) => {
  posts.push(JSON.parse(init.body));
  return fetch(url, init);
};

before(async () => {
  server = await startServer();
  const { agentToken, adminToken } = server.ready;
  client = createClient({ url: server.url, token: () => agentToken, fetch: counted });
  admin = createClient({ url: server.url, token: async () => adminToken });
});
after(() => server.stop());
const fresh = () => (posts = []);

test("a payment is made, read back and called off", async () => {
  fresh();
  const { checkoutUrl, ledgerEntryId } = await client.payment.createPaymentTask({ ...create, tenancyId: undefined });
  assert.match(checkoutUrl, /^http/);
  const payment = await client.payment.getPaymentStatus({ paymentId: ledgerEntryId });
  assert.equal(payment.status, "pending");
  assert.ok(PaymentStatus.includes(payment.status));
  assert.equal(posts.length, 2);
  const cancelled = await client.payment.cancelPayment.safe({ paymentId: ledgerEntryId });
  assert.ok(cancelled.ok);
  assert.equal(cancelled.data.status, "cancelled");
  const again = await client.payment.markPaymentManuallyPaid.safe({ paymentId: ledgerEntryId });
  assert.equal(again.error.kind, "INVALID_TRANSITION");
  assert.equal(again.error.code, -32012);
  assert.equal(again.error.data.from, "cancelled");
  assert.equal(again.error.method, "payment.markPaymentManuallyPaid");
});

test("a failed call throws what it is", async () => {
  await assert.rejects(client.payment.getPaymentStatus({ paymentId: "nothing" }), (error) => {
    assert.ok(error instanceof RpcError && error instanceof Error);
    assert.ok(isRpcError(error) && isRpcError(error, client.payment.getPaymentStatus));
    assert.ok(!isRpcError(error, client.payment.list) && !isRpcError(new Error()));
    assert.equal(error.kind, "NOT_FOUND");
    assert.equal(error.name, "RpcError");
    return true;
  });
  const forbidden = await client.payment.getCardLimit.safe();
  assert.equal(forbidden.error.data.required, "admin");
  const wrong = await client.payment.list.safe({ limit: 0 });
  assert.deepEqual([wrong.error.kind, wrong.error.data.path], ["INVALID_PARAMS", "limit"]);
  const nobody = createClient({ url: server.url });
  assert.equal((await nobody.payment.stats.safe()).error.kind, "UNAUTHORIZED");
  assert.equal((await admin.payment.updateCardLimit({ maxCardPaymentPence: null })).maxCardPaymentPence, null);
});

test("every procedure of the table is there", () => {
  for (const [method, { kind, paged }] of Object.entries(methods)) {
    const [namespace, name] = method.split(".");
    const procedure = client[namespace][name];
    assert.deepEqual([procedure.method, procedure.kind], [method, kind]);
    assert.equal(typeof procedure.pages, paged ? "function" : "undefined");
  }
});

test("calls of one tick share a request, within the server's limit", async () => {
  fresh();
  const stats = await Promise.all(Array.from({ length: 45 }, () => client.payment.stats()));
  assert.equal(stats.length, 45);
  assert.deepEqual(posts.map((post) => post.length), [20, 20, 5]);

  fresh();
  await Promise.all([client.payment.stats(), client.payment.stats({}, { batch: false })]);
  await Promise.all([client.payment.stats(), client.payment.stats({}, { headers: { "x-request-id": "mine" } })]);
  assert.ok(posts.length === 4 && posts.every((post) => !Array.isArray(post)));

  fresh();
  const threes = createClient({ url: server.url, token: server.ready.agentToken, fetch: counted, batch: 3 });
  await Promise.all(Array.from({ length: 7 }, () => threes.payment.stats()));
  assert.deepEqual(posts.map((post) => post.length ?? 1), [3, 3, 1]);

  fresh();
  const single = createClient({ url: server.url, token: server.ready.agentToken, fetch: counted, batch: false });
  await Promise.all([single.payment.stats(), single.payment.stats()]);
  assert.equal(posts.length, 2);
});

test("a ping says whether the line is alive and the token counts", async () => {
  assert.deepEqual(await client.rpc.ping(), {});
  const nobody = createClient({ url: server.url, token: "qt_nobodys" });
  assert.equal((await nobody.rpc.ping.safe()).error.kind, "UNAUTHORIZED");
});

test("in a batch each call has its own fate", async () => {
  const [good, bad, other] = await Promise.all([
    client.payment.list.safe(),
    client.payment.getPaymentStatus.safe({ paymentId: "nothing" }),
    client.payment.getCardLimit.safe(),
  ]);
  assert.deepEqual([good.ok, bad.error?.kind, other.error?.kind], [true, "NOT_FOUND", "FORBIDDEN"]);
});

test("pages and items go through a whole list", async () => {
  const title = { title: "One of many" };
  await Promise.all(Array.from({ length: 7 }, (_, n) => client.todo.create({ ...title, id: `many-${n}`, tenancyId: "many" })));
  const sizes = [];
  for await (const page of client.todo.list.pages({ tenancyId: "many", limit: 3 })) sizes.push(page.items.length);
  assert.deepEqual(sizes, [3, 3, 1]);
  const ids = [];
  for await (const todo of client.todo.list.items({ tenancyId: "many", limit: 3 })) ids.push(todo.id);
  assert.equal(new Set(ids).size, 7);
  for await (const _ of client.todo.list.pages({ tenancyId: "many", limit: 3 })) break;
  await assert.rejects(client.todo.list.pages({ limit: 0 }).next(), { kind: "INVALID_PARAMS" });
  for await (const payment of client.payment.list.items()) assert.ok(payment.id);
});

test("a call that is given up ends at once; its neighbours go on", async () => {
  const control = new AbortController();
  const given = client.payment.stats.safe({}, { signal: control.signal });
  const kept = client.payment.stats.safe();
  control.abort(new Error("changed my mind"));
  const { error } = await given;
  assert.deepEqual([error.kind, error.name, error.cause.message], ["ABORTED", "AbortError", "changed my mind"]);
  assert.ok((await kept).ok);
  fresh();
  assert.equal((await client.payment.stats.safe({}, { signal: control.signal })).error.kind, "ABORTED");
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(posts.length, 0, "nothing is sent for a call given up before");
});

test("no server, no JSON, no RPC", async () => {
  const options = { token: server.ready.agentToken, retry: false };
  const nowhere = createClient({ url: "http://127.0.0.1:1/rpc", ...options });
  const lost = await nowhere.payment.stats.safe();
  assert.equal(lost.error.kind, "NETWORK");
  assert.ok(lost.error.cause);
  const elsewhere = createClient({ url: `${server.ready.rpc}/elsewhere`, ...options });
  const answers = await Promise.all([elsewhere.payment.stats.safe(), elsewhere.payment.list.safe()]);
  for (const { error } of answers) assert.deepEqual(error.data, { kind: "HTTP", status: 404 });
});

test("the same key makes one payment, however often", async () => {
  const input = { ...create, idempotencyKey: "behaviour-1" };
  const [first, second] = await Promise.all([
    client.payment.createPaymentTask(input),
    client.payment.createPaymentTask(input),
  ]);
  assert.equal(first.ledgerEntryId, second.ledgerEntryId);
  const other = await client.payment.createPaymentTask.safe({ ...input, amountPence: 1 });
  assert.deepEqual([other.error.kind, other.error.data.ledgerEntryId], ["IDEMPOTENCY_MISMATCH", first.ledgerEntryId]);
});

test("a rate that was exceeded is waited for", async () => {
  const slow = await startServer({ QUITTANCE_RATE_LIMIT: "5" });
  try {
    const patient = createClient({ url: slow.url, token: slow.ready.agentToken, retry: { attempts: 10 } });
    const all = await Promise.all(Array.from({ length: 14 }, () => patient.payment.stats.safe()));
    assert.ok(all.every(({ ok }) => ok), JSON.stringify(all.find(({ ok }) => !ok)));
    const hasty = createClient({ url: slow.url, token: slow.ready.agentToken, retry: false });
    const some = await Promise.all(Array.from({ length: 14 }, () => hasty.payment.stats.safe()));
    const refused = some.find(({ ok }) => !ok);
    assert.equal(refused.error.kind, "RATE_LIMITED");
    assert.ok(refused.error.data.retryAfterMs > 0);
  } finally {
    await slow.stop();
  }
});
