// What must compile of the subscription, and what must not. Never run.
import { createClient, isRpcError, type Outputs, type Payment, type SocketConstructor, type StatusChange } from "@quittance/client";
import { WebSocket as NodeSocket } from "ws";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <T extends true>(_?: T): void => {};

const client = createClient({ url: "/rpc", WebSocket: NodeSocket });
createClient({ url: "/rpc", WebSocket });
export const ours: SocketConstructor[] = [NodeSocket, WebSocket];
// @ts-expect-error no class of sockets
createClient({ url: "/rpc", WebSocket: Date });

export async function follow(signal: AbortSignal, since: number | undefined): Promise<void> {
  for await (const change of client.payment.onStatusChange()) is<Same<typeof change, StatusChange>>();
  for await (const { sequence, payment } of client.payment.onStatusChange({ since }, { signal, onOpen: () => {} })) {
    is<Same<typeof sequence, number>>();
    is<Same<typeof payment, Payment>>();
    break;
  }
  is<Same<Outputs["payment.onStatusChange"], StatusChange>>();
  is<Same<typeof client.payment.onStatusChange.kind, "subscription">>();
  client.payment.onStatusChange({ paymentId: "x", since: null }, { retry: false });
  // @ts-expect-error a typing mistake
  client.payment.onStatusChange({ payment: "x" });
  // @ts-expect-error a place is a number
  client.payment.onStatusChange({ since: "1" });
  // @ts-expect-error nothing is answered that could be awaited
  client.payment.onStatusChange().then();
  // @ts-expect-error a stream has no result
  client.payment.onStatusChange.safe();
  // @ts-expect-error the loop ends it
  client.payment.offStatusChange([1]);
  // @ts-expect-error of a socket there are no headers
  client.payment.onStatusChange({}, { headers: {} });
  try {
    for await (const _ of client.payment.onStatusChange({ paymentId: "x" }));
  } catch (error) {
    if (isRpcError(error, client.payment.onStatusChange)) {
      if (error.kind === "NOT_FOUND") error.data.id.length;
      // @ts-expect-error following can't end so
      if (error.kind === "PROVIDER_REJECTED") return;
    }
  }
}
