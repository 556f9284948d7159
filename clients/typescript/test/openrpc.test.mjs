// The published document, by OpenRPC's own tools.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";

import { create, startServer } from "./server.mjs";

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
