// A whole server for a test file: `quittance dev` on free ports and an empty database, gone when the tests end.
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const binary = process.env.QUITTANCE_BIN ?? fileURLToPath(new URL("../../../target/debug/quittance", import.meta.url));

/** Starts a server. `ready` is its ready line; `stop()` ends it and waits for its end. */
export async function startServer(env = {}) {
  const folder = await mkdtemp(join(tmpdir(), "quittance-client-"));
  const free = "127.0.0.1:0";
  // The shell ends the server when its stdin closes: by `stop`, or because the test died, however it did.
  const guard = '"$0" dev </dev/null & pid=$!; exec >/dev/null 2>&1; cat; kill $pid; wait $pid';
  const server = spawn("sh", ["-c", guard, binary], {
    cwd: folder,
    stdio: ["pipe", "pipe", "pipe"],
    env: {
      ...process.env,
      RUST_LOG: "warn",
      DATABASE_URL: `sqlite://${folder}/ledger.db`,
      QUITTANCE_RPC_ADDR: free,
      QUITTANCE_WEBHOOK_ADDR: free,
      QUITTANCE_OPS_ADDR: free,
      QUITTANCE_SANDBOX_ADDR: free,
      QUITTANCE_JANITOR_TIME_SCALE: "0.02",
      ...env,
    },
  });
  let log = "";
  server.stderr.on("data", (text) => (log += text));
  const ended = new Promise((resolve) => server.once("exit", resolve));
  const stop = async () => {
    server.stdin.end();
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  const line = await new Promise((resolve, reject) => {
    const lines = createInterface({ input: server.stdout });
    lines.once("line", resolve);
    lines.once("close", () => reject(new Error(`quittance dev ended: ${log}`)));
  });
  const ready = JSON.parse(line);
  return { ready, url: `${ready.rpc}/rpc`, stop };
}

/** What a create needs. */
export const create = { amountPence: 25_000, paymentType: "holding_deposit", description: "Holding deposit" };
