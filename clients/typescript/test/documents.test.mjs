// What the documents and examples show of the client fits its types.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const root = fileURLToPath(new URL("../../../", import.meta.url));
const documents = ["README.md", "docs/frontend.md", "clients/typescript/README.md"];
const examples = ["examples/node/pay.mjs"];

// What a reader has around the lines that are shown.
const around = `
declare const client: import("@quittance/client").Client;
declare const session: { token: string };
declare const offer: { id: string };
declare const paymentId: string;
declare function show(status: import("@quittance/client").PaymentStatus): void;
declare function useQuery(options: import("@tanstack/query-core").QueryObserverOptions<any, any, any, any, any>): void;
declare function useInfiniteQuery(options: object): void;
declare function useMutation(options: import("@tanstack/query-core").MutationObserverOptions<any, any, any>): void;
declare const queryClient: import("@tanstack/query-core").QueryClient;
`;

/** The blocks of TypeScript in a document. */
const blocks = (text) => [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code);

test("what is shown compiles", async () => {
  // Here, so that the package is found as its users find it.
  const folder = await mkdtemp(join(here, "documents-"));
  try {
    await writeFile(join(folder, "around.d.ts"), around);
    for (const document of documents) {
      const shown = blocks(await readFile(join(root, document), "utf8"));
      assert.ok(shown.length > 0, `${document} shows nothing`);
      for (const [number, code] of shown.entries()) {
        const name = `${document.replaceAll("/", "-")}-${number + 1}.ts`;
        await writeFile(join(folder, name), `${code}\nexport {};\n`);
      }
    }
    const compilerOptions = { types: ["node"], typeRoots: [join(here, "node_modules/@types")] };
    const include = ["*.ts", ...examples.map((example) => relative(folder, join(root, example)))];
    await writeFile(join(folder, "tsconfig.json"), JSON.stringify({ extends: "../../tsconfig.json", compilerOptions, include }));
    const { status, stdout } = spawnSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", folder], {
      cwd: here,
      encoding: "utf8",
    });
    assert.equal(status, 0, stdout);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
