// The published document, by OpenRPC's own tools.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";

import { WebSocket } from "ws";
import { startServer } from "./server.mjs";

const require = createRequire(import.meta.url);
const { parseOpenRPCDocument, validateOpenRPCDocument } = require("@open-rpc/schema-utils-js");

let server;
before(async () => (server = await startServer()));
after(() => server.stop());
const checkedIn = async () => JSON.parse(await readFile(new URL("../../../openrpc.json", import.meta.url), "utf8"));

test("schema-utils-js takes it for an OpenRPC document, and resolves it", async () => {
  const document = await checkedIn();
  assert.equal(validateOpenRPCDocument(document), true);
  const parsed = await parseOpenRPCDocument(document);
  assert.equal(parsed.methods.length, document.methods.length);
});

test("the server publishes the same", async () => {
  const document = await checkedIn();
  const served = await fetch(`${server.ready.rpc}/openrpc.json`);
  assert.deepEqual(await served.json(), document);
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "rpc.discover" });
  const discovered = await fetch(server.url, { method: "POST", body, headers: { "content-type": "application/json" } });
  assert.deepEqual((await discovered.json()).result, document);
});

/** json-schema-faker knows no formats here, so ids it makes up are no UUIDs. */
function withoutFormats(value) {
  if (Array.isArray(value)) return value.map(withoutFormats);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([name, of]) => !(name === "format" && typeof of === "string"));
  return Object.fromEntries(entries.map(([name, of]) => [name, withoutFormats(of)]));
}

test("test-coverage: whatever is sent, the answer is as promised", async (context) => {
  const { default: coverage } = require("@open-rpc/test-coverage");
  const { default: FakerRule } = require("@open-rpc/test-coverage/build/rules/json-schema-faker-rule");
  const Ajv = require("ajv");
  const document = await parseOpenRPCDocument(withoutFormats(await checkedIn()));
  // The rule makes up params only where there are no examples; those are replayed by the server's own tests.
  for (const method of document.methods) delete method.examples;
  const { components } = document;

  // Made-up ids are nobody's and made-up cursors are foreign: an error is as good as a result, if it is promised.
  class PromisedRule extends FakerRule {
    validateCall(call) {
      if (!call.error) return super.validateCall(call);
      const { errors } = document.methods.find(({ name }) => name === call.methodName);
      const promised = errors.find(({ code }) => code === call.error.code);
      call.valid = Boolean(promised) && new Ajv().validate({ allOf: [promised.data], components }, call.error.data);
      call.reason = JSON.stringify(call.error);
      return call;
    }
  }
  // What begins and ends subscriptions is called over a WebSocket.
  const authorization = `Bearer ${server.ready.adminToken}`;
  const socket = new WebSocket(server.url.replace("http", "ws"), { headers: { authorization } });
  await new Promise((resolve, reject) => socket.on("open", resolve).on("error", reject));
  context.after(() => socket.close());
  let lastId = 0;
  const overSocket = (method, params) =>
    new Promise((resolve) => {
      const id = ++lastId;
      const listen = (text) => {
        const message = JSON.parse(text);
        if (message.id !== id) return;
        socket.off("message", listen);
        resolve(message);
      };
      socket.on("message", listen);
      socket.send(JSON.stringify({ jsonrpc: "2.0", id, method, params }));
    });
  const transport = async (_, method, params) => {
    if (document.methods.find(({ name }) => name === method)["x-kind"] === "subscription") return overSocket(method, params);
    const answer = await fetch(server.url, {
      method: "POST",
      headers: { "content-type": "application/json", authorization },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
    });
    return answer.json();
  };
  const quiet = { onBegin() {}, onTestBegin() {}, onTestEnd() {}, onEnd() {} };
  const calls = await coverage({
    openrpcDocument: document,
    transport,
    reporters: [quiet],
    rules: [new PromisedRule({ numCalls: 10 })],
    skip: [],
    only: [],
  });
  const failed = calls.filter(({ valid }) => !valid);
  const fine = calls.filter(({ error, valid }) => valid && !error);
  context.diagnostic(`${calls.length} calls, ${fine.length} with a result, ${failed.length} not as promised`);
  assert.deepEqual(failed.map(({ methodName, params, reason }) => ({ methodName, params, reason })), []);
  // What takes nothing is called once.
  assert.ok(calls.length >= 10 * document.methods.filter(({ params }) => params.length).length);
  const answered = new Set(fine.map(({ methodName }) => methodName));
  for (const name of ["payment.list", "payment.stats", "todo.create", "token.issue", "payment.updateCardLimit", "payment.offStatusChange"])
    assert.ok(answered.has(name), `${name} never succeeded`);
});
