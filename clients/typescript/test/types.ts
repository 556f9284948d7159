// What must compile, and what must not. Never run.
import {
  createClient,
  isRpcError,
  PaymentStatus,
  type Errors,
  type Failure,
  type Inputs,
  type JsonObject,
  type Outputs,
  type Payment,
  type RpcError,
} from "@quittance/client";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <T extends true>(_?: T): void => {};

const client = createClient({ url: "http://127.0.0.1:4000/rpc", token: async () => "qt_" });
createClient({ url: new URL("http://127.0.0.1:4000/rpc"), batch: 5, retry: false, headers: { a: "b" }, fetch });
createClient({ url: "", token: undefined, timeoutMs: undefined });
// @ts-expect-error the URL is required
createClient({});
// @ts-expect-error no such option
createClient({ url: "", retires: 3 });

export async function inputs(signal: AbortSignal, maybe: string | undefined): Promise<void> {
  await client.payment.list();
  await client.payment.list({});
  await client.payment.list(undefined, { signal });
  await client.payment.list({ status: "pending", tenancyId: null, limit: 5 }, { signal, timeoutMs: 100, batch: false });
  await client.payment.list({ tenancyId: maybe });
  await client.payment.getCardLimit();
  await client.payment.updateCardLimit({ maxCardPaymentPence: null });
  await client.payment.createPaymentTask({ amountPence: 1, paymentType: "custom", description: "x" });
  // @ts-expect-error no such status
  await client.payment.list({ status: "paid" });
  // @ts-expect-error a typing mistake
  await client.payment.list({ statuss: "pending" });
  // @ts-expect-error the input is required
  await client.payment.getPaymentStatus();
  // @ts-expect-error its field is required: leaving it out must not lift the limit
  await client.payment.updateCardLimit({});
  // @ts-expect-error money is a number of pence
  await client.payment.createPaymentTask({ amountPence: "1", paymentType: "custom", description: "x" });
  // @ts-expect-error the amount is required
  await client.payment.createPaymentTask({ paymentType: "custom", description: "x" });
  // @ts-expect-error no such procedure
  await client.payment.remove({});
  // @ts-expect-error no such namespace
  await client.payments.list({});
  // @ts-expect-error it takes nothing
  await client.payment.stats({ year: 2026 });
  // @ts-expect-error only lists have pages
  client.payment.stats.pages();
  // @ts-expect-error the option is a signal
  await client.payment.list({}, { signal: "now" });
  // @ts-expect-error null does not fit a required field
  await client.payment.getPaymentStatus({ paymentId: null });
}

export async function outputs(): Promise<void> {
  const payment = await client.payment.getPaymentStatus({ paymentId: "x" });
  is<Same<typeof payment, Payment>>();
  is<Same<typeof payment.paidAt, string | null>>();
  is<Same<typeof payment.amountPence, number>>();
  is<Same<typeof payment.status, PaymentStatus>>();
  const { checkoutUrl } = await client.payment.createPaymentTask({ amountPence: 1, paymentType: "custom", description: "" });
  is<Same<typeof checkoutUrl, string>>();
  // @ts-expect-error it may be null
  payment.paidAt.length;
  // @ts-expect-error no such field
  payment.paid;
  is<Same<Outputs["payment.list"]["items"], Payment[]>>();
  is<Same<Inputs["payment.getPaymentStatus"]["paymentId"], string>>();
  for await (const page of client.payment.list.pages({ limit: 2 })) is<Same<typeof page, Outputs["payment.list"]>>();
  for await (const row of client.payment.auditTrail.items()) is<Same<typeof row.changes, JsonObject>>();
  const first = PaymentStatus[0];
  is<Same<typeof first, "pending">>();
  // @ts-expect-error the values are read-only
  PaymentStatus.push("paid");
}

export async function errors(): Promise<string> {
  const result = await client.payment.cancelPayment.safe({ paymentId: "x" });
  if (result.ok) return result.data.status;
  // @ts-expect-error a failure has no data of a success
  result.data;
  const { error } = result;
  is<Same<typeof error, Failure<"payment.cancelPayment">>>();
  switch (error.kind) {
    case "INVALID_TRANSITION":
      is<Same<typeof error.data.from, PaymentStatus>>();
      return error.data.asked;
    case "RATE_LIMITED":
    case "BUSY":
      is<Same<typeof error.data.retryAfterMs, number>>();
      return "later";
    case "HTTP":
      is<Same<typeof error.data.status, number>>();
      return "proxy";
    case "INVALID_PARAMS":
      return error.data.path;
    case "NOT_FOUND":
      return error.data.id;
    case "UNAUTHORIZED":
    case "FORBIDDEN":
    case "PAYMENT_IN_FLIGHT":
    case "INTERNAL":
      return error.data.requestId;
    // @ts-expect-error a cancel can't end so
    case "PROVIDER_REJECTED":
    case "NETWORK":
    case "TIMEOUT":
    case "ABORTED":
    case "PROTOCOL":
      return error.message;
    default:
      return error satisfies never;
  }
}

export async function caught(): Promise<string | undefined> {
  try {
    await client.payment.createPaymentTask({ amountPence: 1, paymentType: "custom", description: "x" });
  } catch (error) {
    if (isRpcError(error, client.payment.createPaymentTask) && error.kind === "PROVIDER_UNAVAILABLE")
      return error.data.ledgerEntryId;
    if (isRpcError(error) && error.kind === "FORBIDDEN") return error.data.required;
    if (isRpcError(error, client.payment.stats)) {
      // @ts-expect-error looking at figures can't end so
      if (error.kind === "NOT_FOUND") return;
      const some: RpcError = error;
      return some.message;
    }
  }
  type Kinds = Errors["payment.stats"]["kind"];
  is<Same<Kinds, "INVALID_PARAMS" | "UNAUTHORIZED" | "FORBIDDEN" | "RATE_LIMITED" | "BUSY" | "INTERNAL">>();
  return undefined;
}
