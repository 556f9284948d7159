// How much of it a page loads.
import assert from "node:assert/strict";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

async function size(contents) {
  const stdin = { contents, resolveDir: fileURLToPath(new URL(".", import.meta.url)) };
  const { outputFiles } = await build({ stdin, bundle: true, minify: true, format: "esm", write: false });
  return { bytes: outputFiles[0].contents.length, gzip: gzipSync(outputFiles[0].contents).length, text: outputFiles[0].text };
}

test("the core is below 3 KB gzipped", async (context) => {
  const core = await size('export { createClient } from "@quittance/client"');
  const all = await size('export * from "@quittance/client"; export * from "@quittance/client/query"');
  const words = await size('export { PaymentStatus } from "@quittance/client"');
  for (const [name, { bytes, gzip }] of Object.entries({ core, all, "PaymentStatus alone": words }))
    context.diagnostic(`${name}: ${bytes} bytes minified, ${gzip} gzipped`);
  assert.ok(core.gzip < 3 * 1024);
  assert.ok(words.bytes < 200 && !words.text.includes("fetch"), "what is not used is left out");
  assert.ok(!core.text.includes("holding_deposit"), "so are the words");
});
