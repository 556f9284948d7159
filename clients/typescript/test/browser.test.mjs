// The same bundle in a browser, on a page of another origin.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { chromium } from "playwright-core";
import { create, startServer } from "./server.mjs";

let pages, origin, server, browser;
before(async () => {
  const { outputFiles } = await build({
    stdin: { contents: 'export * from "@quittance/client"', resolveDir: fileURLToPath(new URL(".", import.meta.url)) },
    bundle: true,
    minify: true,
    format: "esm",
    write: false,
  });
  pages = createServer((request, response) => {
    const isBundle = request.url === "/client.js";
    response.setHeader("content-type", isBundle ? "text/javascript" : "text/html");
    response.end(isBundle ? outputFiles[0].contents : "<!doctype html><title>A platform</title>");
  });
  await new Promise((resolve) => pages.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${pages.address().port}`;
  server = await startServer();
  const args = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"];
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args });
});
after(async () => {
  await browser?.close();
  await server?.stop();
  pages?.close();
});

test("a page of this machine calls, fails and gives up as Node does", async () => {
  const page = await browser.newPage();
  await page.goto(origin);
  const seen = await page.evaluate(
    async ({ url, token, create }) => {
      const { createClient } = await import("/client.js");
      // Tracing tools add headers of their own.
      const client = createClient({ url, token, headers: { "sentry-trace": "1", baggage: "x=y" } });
      const { ledgerEntryId: paymentId } = await client.payment.createPaymentTask(create);
      const [payment, missing] = await Promise.all([
        client.payment.getPaymentStatus({ paymentId }),
        client.payment.getPaymentStatus.safe({ paymentId: "nothing" }),
      ]);
      const control = new AbortController();
      const given = client.payment.list.safe({}, { signal: control.signal });
      control.abort();
      const listed = [];
      for await (const { id } of client.payment.list.items()) listed.push(id);
      const answers = [payment.status, missing.error.kind, (await given).error.kind, listed.includes(paymentId)];
      return answers;
    },
    { url: server.url, token: server.ready.agentToken, create },
  );
  assert.deepEqual(seen, ["pending", "NOT_FOUND", "ABORTED", true]);
});

test("a page of this machine follows its payments", async () => {
  const page = await browser.newPage();
  await page.goto(origin);
  const seen = await page.evaluate(
    async ({ url, token, create }) => {
      const { createClient } = await import("/client.js");
      const client = createClient({ url, token });
      const seen = [];
      const { ledgerEntryId: paymentId } = await client.payment.createPaymentTask(create);
      for await (const { payment } of client.payment.onStatusChange({ paymentId })) {
        seen.push(payment.status);
        if (payment.status === "cancelled") return seen;
        await client.payment.cancelPayment({ paymentId });
      }
    },
    { url: server.url, token: server.ready.agentToken, create },
  );
  assert.deepEqual(seen, ["pending", "cancelled"]);
});

test("a page of any other origin gets nowhere", async () => {
  const page = await browser.newPage();
  // A name of its own, which browsers look for on this machine as well.
  await page.goto(origin.replace("127.0.0.1", "elsewhere.localhost"));
  const kinds = await page.evaluate(
    async ({ url, token }) => {
      const { createClient } = await import("/client.js");
      const client = createClient({ url, token, retry: false });
      const followed = await client.payment.onStatusChange({ since: 0 }).next().catch((error) => error);
      return [(await client.payment.stats.safe()).error.kind, followed.kind];
    },
    { url: server.url, token: server.ready.agentToken },
  );
  assert.deepEqual(kinds, ["NETWORK", "NETWORK"]);
});
