// Retries, time-outs and broken answers, with a server that can be told what to do.
import assert from "node:assert/strict";
import { test } from "node:test";

import { createClient } from "@quittance/client";
import { create } from "./server.mjs";

/** A client whose server answers what the steps say, one step a request; the last one again and again. */
function scripted(steps, options = {}) {
  const seen = [];
  const fake = async (_, init) => {
    const sent = JSON.parse(init.body);
    const step = steps[Math.min(seen.length, steps.length - 1)];
    seen.push({ sent, at: Date.now(), headers: init.headers });
    return step(sent, init.signal);
  };
  const client = createClient({ url: "http://x/", fetch: fake, retry: { baseMs: 5 }, ...options });
  return { client, seen };
}
const each = (sent, answer) => (Array.isArray(sent) ? sent.map(answer) : answer(sent));
const reply = (body, init) => new Response(typeof body === "string" ? body : JSON.stringify(body), init);
const answer = (result) => (sent) => reply(each(sent, ({ id }) => ({ jsonrpc: "2.0", id, result })));
const failure = (kind, more = {}) => (sent) =>
  reply(each(sent, ({ id }) => ({ jsonrpc: "2.0", id, error: { code: -1, message: kind, data: { kind, ...more } } })));
const broken = () => Promise.reject(new TypeError("fetch failed"));
const hang = (_, signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
const fine = answer({ fine: true });

for (const [name, step] of Object.entries({
  NETWORK: broken,
  BUSY: failure("BUSY", { retryAfterMs: 5 }),
  RATE_LIMITED: failure("RATE_LIMITED", { retryAfterMs: 5 }),
  IN_PROGRESS: failure("IN_PROGRESS"),
  PROVIDER_UNAVAILABLE: failure("PROVIDER_UNAVAILABLE"),
  HTTP: () => reply("upstream is away", { status: 503 }),
})) {
  test(`${name} passes: tried again`, async () => {
    const { client, seen } = scripted([step, step, fine]);
    const keyed = await client.payment.createPaymentTask({ ...create, idempotencyKey: "k" });
    assert.deepEqual([keyed, seen.length], [{ fine: true }, 3]);
    assert.deepEqual(seen.map(({ sent }) => sent.params.idempotencyKey), ["k", "k", "k"]);
  });

  test(`${name} stays: given up after three tries, or one`, async () => {
    const { client, seen } = scripted([step]);
    assert.equal((await client.payment.cancelPayment.safe({ paymentId: "p" })).error.kind, name);
    assert.equal(seen.length, 3);
    await client.payment.stats.safe({}, { retry: false });
    assert.equal(seen.length, 4);
  });

  test(`${name} and a create without its key: tried once`, async () => {
    for (const call of [
      (client) => client.payment.createPaymentTask.safe(create),
      (client) => client.todo.create.safe({ title: "x" }),
      (client) => client.customPaymentTask.create.safe({ title: "x", id: null }),
    ]) {
      const { client, seen } = scripted([step, fine]);
      assert.equal((await call(client)).error.kind, name);
      assert.equal(seen.length, 1);
    }
  });
}

test("what will not pass is tried once", async () => {
  for (const kind of ["NOT_FOUND", "INVALID_PARAMS", "UNAUTHORIZED", "INTERNAL", "PROVIDER_REJECTED"]) {
    const { client, seen } = scripted([failure(kind)]);
    assert.equal((await client.payment.stats.safe()).error.kind, kind);
    assert.equal(seen.length, 1);
  }
  const { client, seen } = scripted([() => reply("no", { status: 404 })]);
  assert.equal((await client.payment.stats.safe()).error.data.status, 404);
  assert.equal(seen.length, 1);
});

test("the server says how long to wait, in data or in a header", async () => {
  for (const step of [
    failure("BUSY", { retryAfterMs: 120 }),
    () => reply("slow down", { status: 429, headers: { "retry-after": "0.12" } }),
  ]) {
    const { client, seen } = scripted([step, fine]);
    await client.payment.stats();
    assert.ok(seen[1].at - seen[0].at >= 115, `${seen[1].at - seen[0].at} ms`);
  }
  const { client, seen } = scripted([failure("BUSY", { retryAfterMs: 3_600_000 }), fine]);
  assert.equal((await client.payment.stats.safe()).error.data.retryAfterMs, 3_600_000);
  assert.equal(seen.length, 1, "nobody waits an hour");
});

test("a try that takes too long is ended, and made again", async () => {
  let ended = 0;
  const counting = (sent, signal) => {
    signal.addEventListener("abort", () => ended++);
    return hang(sent, signal);
  };
  const { client, seen } = scripted([counting, fine], { timeoutMs: 30 });
  assert.deepEqual(await client.payment.stats(), { fine: true });
  assert.deepEqual([seen.length, ended], [2, 1]);
  const slow = scripted([hang]);
  const { error } = await slow.client.payment.stats.safe({}, { timeoutMs: 20, retry: false });
  assert.equal(error.kind, "TIMEOUT");
});

test("a call given up while it waits for its next try ends at once", async () => {
  const control = new AbortController();
  const { client, seen } = scripted([failure("BUSY", { retryAfterMs: 30_000 }), fine]);
  setTimeout(() => control.abort(), 30);
  const begun = Date.now();
  assert.equal((await client.payment.stats.safe({}, { signal: control.signal })).error.kind, "ABORTED");
  assert.ok(Date.now() - begun < 5_000);
  assert.equal(seen.length, 1);
});

test("a request ends when all its calls have been given up, not before", async () => {
  let signal;
  const { client } = scripted([(sent, given) => ((signal = given), hang(sent, given))]);
  const controls = [new AbortController(), new AbortController()];
  const calls = controls.map(({ signal }) => client.payment.stats.safe({}, { signal }));
  await new Promise((resolve) => setTimeout(resolve, 20));
  controls[0].abort();
  assert.equal((await calls[0]).error.kind, "ABORTED");
  assert.equal(signal.aborted, false);
  controls[1].abort();
  assert.equal((await calls[1]).error.kind, "ABORTED");
  assert.equal(signal.aborted, true);
});

test("answers are matched by id, and what is missing is told", async () => {
  const shuffled = (sent) => reply(sent.map(({ id, params }) => ({ id, result: params.limit })).reverse().slice(1));
  const { client } = scripted([shuffled]);
  const [one, two] = await Promise.all([client.payment.list.safe({ limit: 1 }), client.payment.list.safe({ limit: 2 })]);
  assert.equal(one.data, 1);
  assert.equal(two.error.kind, "PROTOCOL");
});

test("one answer to nobody is the fate of the batch", async () => {
  const { client } = scripted([() => reply({ jsonrpc: "2.0", id: null, error: { code: -32010, message: "too large" } })]);
  for (const { error } of await Promise.all([client.payment.stats.safe(), client.payment.list.safe()]))
    assert.deepEqual([error.kind, error.code, error.message], ["PROTOCOL", -32010, "too large"]);
  const odd = scripted([() => reply("<html>"), () => reply("null"), () => reply("[1]")], { retry: false });
  for (let n = 0; n < 3; n++) assert.equal((await odd.client.payment.stats.safe()).error.kind, "PROTOCOL");
});

test("token and headers are asked for before each request; a fault there is the caller's own", async () => {
  let n = 0;
  const { client, seen } = scripted([fine], { token: () => `qt_${++n}`, headers: async () => ({ "x-app": "a" }) });
  await client.payment.stats();
  await client.payment.stats({}, { headers: { "x-app": "b" } });
  assert.deepEqual(
    seen.map(({ headers }) => [headers.get("authorization"), headers.get("x-app"), headers.get("content-type")]),
    [["Bearer qt_1", "a", "application/json"], ["Bearer qt_2", "b", "application/json"]],
  );
  const fault = new Error("no session");
  const { client: faulty } = scripted([fine], { token: () => Promise.reject(fault) });
  await assert.rejects(faulty.payment.stats.safe(), fault);
});
