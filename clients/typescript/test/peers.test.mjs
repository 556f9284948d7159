// Any JSON-RPC client will do: each makes a payment, reads it back, and sees an error's kind.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { create, startServer } from "./server.mjs";

const require = createRequire(import.meta.url);
let server, headers;
before(async () => {
  server = await startServer();
  headers = { "content-type": "application/json", authorization: `Bearer ${server.ready.agentToken}` };
});
after(() => server.stop());

/** What each must manage with its way of calling; `fault` gives an error's `data`. */
async function manages(call, fault) {
  const { ledgerEntryId, checkoutUrl } = await call("payment.createPaymentTask", create);
  assert.match(checkoutUrl, /^http/);
  const payment = await call("payment.getPaymentStatus", { paymentId: ledgerEntryId });
  assert.deepEqual([payment.status, payment.amountPence], ["pending", create.amountPence]);
  const error = await call("payment.getPaymentStatus", { paymentId: "nothing" }).then(
    () => assert.fail("it should have failed"),
    (error) => error,
  );
  assert.equal(fault(error)?.kind, "NOT_FOUND");
}

test("json-rpc-2.0", async () => {
  const { JSONRPCClient } = require("json-rpc-2.0");
  const client = new JSONRPCClient(async (sent) => {
    const answer = await fetch(server.url, { method: "POST", headers, body: JSON.stringify(sent) });
    assert.equal(answer.status, 200);
    client.receive(await answer.json());
  });
  await manages((method, params) => client.request(method, params), (error) => error.data);
});

test("jayson, by name and as [object]", async () => {
  const jayson = require("jayson/promise");
  const { hostname, port } = new URL(server.url);
  const client = jayson.Client.http({ hostname, port, path: "/rpc", headers });
  const call = async (method, params) => {
    const { error, result } = await client.request(method, params);
    if (error) throw error;
    return result;
  };
  await manages(call, (error) => error.data);
  await manages((method, params) => call(method, [params]), (error) => error.data);
});

test("@open-rpc/client-js", async () => {
  const { Client, HTTPTransport, RequestManager } = await import("@open-rpc/client-js");
  const client = new Client(new RequestManager([new HTTPTransport(server.url, { headers })]));
  await manages((method, params) => client.request({ method, params }), (error) => error.data);
  client.close();
});

test("viem, alone and in batches", async () => {
  const { createClient, http } = await import("viem");
  for (const batch of [false, true]) {
    const transport = http(server.url, { batch, retryCount: 0, fetchOptions: { headers } });
    const client = createClient({ transport });
    const call = (method, params) => client.request({ method, params });
    // It wraps errors in its own; ours is somewhere below.
    await manages(call, (error) => error.walk((inner) => inner?.data?.kind)?.data);
  }
});

test("Python's jsonrpcclient", async () => {
  const script = fileURLToPath(new URL("peer.py", import.meta.url));
  const { stdout } = await promisify(execFile)("python3", [script, server.url, server.ready.agentToken]);
  assert.deepEqual(JSON.parse(stdout), { status: "pending", kind: "NOT_FOUND" });
});
