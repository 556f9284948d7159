// The subscription against a live server, and through a proxy that breaks its sockets.
import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { after, before, test } from "node:test";

import { createClient, isRpcError } from "@quittance/client";
import { WebSocket } from "ws";
import { create, startServer } from "./server.mjs";

let server, client, admin;
before(async () => {
  server = await startServer();
  const { agentToken, adminToken } = server.ready;
  client = createClient({ url: server.url, token: async () => agentToken, WebSocket, retry: { baseMs: 20 } });
  admin = createClient({ url: server.url, token: adminToken });
});
after(() => server.stop());

/** A TCP proxy before the server; `cut()` breaks what goes through it, `open` says whether it takes more. */
async function flakyProxy() {
  const { hostname, port } = new URL(server.url);
  const sockets = new Set();
  const proxy = createServer((inner) => {
    if (!state.open) return inner.destroy();
    state.opened++;
    const outer = connect(Number(port), hostname);
    for (const socket of [inner, outer]) {
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => (inner.destroy(), outer.destroy(), sockets.delete(socket)));
    }
    inner.pipe(outer).pipe(inner);
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const state = {
    open: true,
    opened: 0,
    url: `http://127.0.0.1:${proxy.address().port}/rpc`,
    cut: () => sockets.forEach((socket) => socket.destroy()),
    close: () => (state.cut(), proxy.close()),
  };
  return state;
}

const pay = (paymentId) => client.payment.markPaymentManuallyPaid({ paymentId });
async function take(changes, count) {
  const taken = [];
  while (taken.length < count) taken.push((await changes.next()).value);
  return taken;
}

test("changes come as they happen, and from any point on", async () => {
  let onOpen;
  const opened = new Promise((resolve) => (onOpen = resolve));
  const changes = client.payment.onStatusChange({}, { onOpen });
  const first = changes.next();
  await opened;
  const { ledgerEntryId: id } = await client.payment.createPaymentTask(create);
  await pay(id);
  const { value: created } = await first;
  const { value: paid } = await changes.next();
  await changes.return();
  assert.deepEqual([created.payment.id, created.payment.status, created.payment.paidAt], [id, "pending", null]);
  assert.deepEqual([paid.payment.id, paid.payment.status, paid.sequence], [id, "succeeded", created.sequence + 1]);

  for await (const { sequence, payment } of client.payment.onStatusChange({ since: created.sequence })) {
    assert.deepEqual([sequence, payment], [paid.sequence, paid.payment]);
    break;
  }
  for await (const change of client.payment.onStatusChange({ paymentId: id })) {
    assert.deepEqual(change, paid);
    break;
  }
});

test("broken sockets leave no gap and no repeat", async () => {
  const proxy = await flakyProxy();
  try {
    const flaky = createClient({ url: proxy.url, token: server.ready.agentToken, WebSocket, retry: { baseMs: 20 } });
    const seen = [];
    const changes = flaky.payment.onStatusChange({ since: 0 });
    const making = (async () => {
      for (let made = 0; made < 40; made++) {
        await client.payment.createPaymentTask({ ...create, tenancyId: "flaky" });
        if (made % 8 === 3) proxy.cut();
        proxy.open = made < 20 || made >= 30;
      }
    })();
    for (let ours = 0; ours < 40; ) {
      const { sequence, payment } = (await changes.next()).value;
      seen.push(sequence);
      if (payment.tenancyId === "flaky") ours++;
    }
    await making;
    await changes.return();
    assert.deepEqual(seen, Array.from(seen, (_, n) => n + 1), "dense and in order");
    assert.ok(proxy.opened >= 4, `${proxy.opened} sockets`);
  } finally {
    proxy.close();
  }
});

test("a slow reader holds a thousand changes at most, and misses none", async () => {
  const asked = [];
  let closed = 0;
  /** A server that tells everything up to 2,500 at once. */
  class Torrent extends EventTarget {
    constructor() {
      super();
      queueMicrotask(() => this.dispatchEvent(new Event("open")));
    }
    send(text) {
      const { since } = JSON.parse(text).params;
      asked.push(since);
      const tell = (message) =>
        this.dispatchEvent(Object.assign(new Event("message"), { data: JSON.stringify({ jsonrpc: "2.0", ...message }) }));
      tell({ id: 1, result: 7 });
      for (let sequence = since + 1; sequence <= 2_500; sequence++)
        tell({ method: "payment.statusChange", params: { subscription: 7, result: { sequence } } });
    }
    close() {
      closed++;
    }
  }
  const slow = createClient({ url: "http://x/rpc", WebSocket: Torrent, retry: { baseMs: 1 } });
  const changes = slow.payment.onStatusChange({ since: 0 });
  const taken = await take(changes, 2_500);
  await changes.return();
  assert.deepEqual(taken.map(({ sequence }) => sequence), Array.from({ length: 2_500 }, (_, n) => n + 1));
  assert.deepEqual(asked, [0, 1_000, 2_000]);
  assert.ok(closed >= 3);
});

test("it is given up with a signal", async () => {
  const control = new AbortController();
  const waiting = client.payment.onStatusChange({}, { signal: control.signal }).next();
  setTimeout(() => control.abort(new Error("left the page")), 50);
  await assert.rejects(waiting, (error) => {
    assert.ok(isRpcError(error, client.payment.onStatusChange));
    assert.deepEqual([error.kind, error.name, error.cause.message], ["ABORTED", "AbortError", "left the page"]);
    return true;
  });
  const before = client.payment.onStatusChange({}, { signal: control.signal }).next();
  await assert.rejects(before, { kind: "ABORTED" });
});

test("what can't be followed is said as of any call", async () => {
  await assert.rejects(client.payment.onStatusChange({ paymentId: "nothing" }).next(), { kind: "NOT_FOUND", code: -32004 });
  await assert.rejects(client.payment.onStatusChange({ since: 0.5 }).next(), { kind: "INVALID_PARAMS" });
  const beyond = await client.payment.onStatusChange({ since: 1_000_000 }).next().catch((error) => error);
  assert.deepEqual([beyond.kind, beyond.data.path], ["INVALID_PARAMS", "since"]);
  assert.ok(beyond.data.latest < 1_000_000);
  const nobody = createClient({ url: server.url, WebSocket });
  await assert.rejects(nobody.payment.onStatusChange().next(), { kind: "UNAUTHORIZED" });
  const nowhere = createClient({ url: "http://127.0.0.1:1/rpc", WebSocket, retry: { attempts: 2, baseMs: 5 } });
  await assert.rejects(nowhere.payment.onStatusChange().next(), { kind: "NETWORK" });
  assert.deepEqual([client.payment.onStatusChange.method, client.payment.onStatusChange.kind], ["payment.onStatusChange", "subscription"]);
});

test("a new token is asked for where the old one has ended", async () => {
  const issue = () => admin.token.issue({ role: "agent", actor: "Amy", expiresInSeconds: 60 });
  const [old, fresh] = [await issue(), await issue()];
  let asked = 0;
  const amy = createClient({
    url: server.url,
    token: () => (asked++ ? fresh : old).token,
    WebSocket,
    retry: { baseMs: 20 },
  });
  let opens = 0;
  const changes = amy.payment.onStatusChange({}, { onOpen: () => ++opens === 1 && admin.token.revoke({ tokenId: old.tokenId }) });
  const next = changes.next();
  while (opens < 2) await new Promise((resolve) => setTimeout(resolve, 50));
  const { ledgerEntryId } = await client.payment.createPaymentTask(create);
  assert.equal((await next).value.payment.id, ledgerEntryId);
  await changes.return();
});
