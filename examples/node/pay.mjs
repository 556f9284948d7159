// A payment from request to receipt, with the generated client: TOKEN=qt_… node examples/node/pay.mjs, beside
// `quittance dev`.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { createClient } from "../../clients/typescript/src/index.js";

const { TOKEN: token, RPC: url = "http://127.0.0.1:4000/rpc", SANDBOX: sandbox = "http://127.0.0.1:4010" } = process.env;
if (!token) throw new Error("set TOKEN to the agentToken that `quittance dev` prints");
const client = createClient({ url, token });

// Ids of our own, new for each run. Calls made at once travel as one request.
const run = randomUUID();
const [todo, task] = await Promise.all([
  client.todo.create({ id: `todo-${run}`, title: "Collect the deposit" }),
  client.customPaymentTask.create({ id: `task-${run}`, title: "Deposit, 12 Orchard Row" }),
]);

const { checkoutUrl, ledgerEntryId: paymentId } = await client.payment.createPaymentTask({
  amountPence: 25_000,
  paymentType: "holding_deposit",
  description: "Holding deposit, 12 Orchard Row",
  todoId: todo.id,
  customPaymentTaskId: task.id,
  idempotencyKey: `offer-${run}`,
});
console.log(`the tenant pays at ${checkoutUrl}`);

// The tenant pays. In a browser one would open the link.
const session = new URL(checkoutUrl).pathname.split("/").at(-1);
const paid = await fetch(`${sandbox}/sandbox/sessions/${session}/pay`, { method: "POST" });
if (!paid.ok) throw new Error(`the sandbox answered ${paid.status}`);

// The webhook takes a moment. A page would follow `client.payment.onStatusChange` instead of asking again and again.
let payment = await client.payment.getPaymentStatus({ paymentId });
for (let tries = 0; payment.status !== "succeeded"; tries += 1) {
  if (tries === 50) throw new Error(`not paid after 10 s: it is ${payment.status}`);
  await sleep(200);
  payment = await client.payment.getPaymentStatus({ paymentId });
}
console.log(`payment ${payment.id} is ${payment.status} since ${payment.paidAt}`);

console.log(`todo is ${(await client.todo.get({ todoId: todo.id })).status}`);
console.log(`task is ${(await client.customPaymentTask.get({ customPaymentTaskId: task.id })).status}`);
for await (const row of client.payment.auditTrail.items({ paymentId })) {
  console.log(`${row.at} ${row.action} by ${row.actor}`);
}

// A failure has a kind, and each kind its fields.
const again = await client.payment.cancelPayment.safe({ paymentId });
if (!again.ok) console.log(`it can't be cancelled: ${again.error.kind}`);
