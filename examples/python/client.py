#!/usr/bin/env python3
"""A client of Quittance in Python's standard library, and a payment from request to receipt.

TOKEN=qt_… python3 examples/python/client.py, beside `quittance dev`.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid

TIMEOUT_SECONDS = 15
TRIES = 3
# The same call may succeed later. A create needs its idempotencyKey to be repeated, and has one below.
WORTH_REPEATING = {"BUSY", "RATE_LIMITED", "IN_PROGRESS", "PROVIDER_UNAVAILABLE"}


class RpcError(Exception):
    """A call that failed. `kind` says why; `data` holds the fields of the kind."""

    def __init__(self, error):
        super().__init__(error["message"])
        self.code = error["code"]
        self.data = error.get("data") or {}
        self.kind = self.data.get("kind")


class Quittance:
    """Calls procedures by name: `quittance.call("payment.list", status="pending")`."""

    def __init__(self, url, token):
        self.url = url
        self.token = token

    def call(self, method, **params):
        for attempt in range(1, TRIES + 1):
            try:
                return self._call_once(method, params)
            except RpcError as error:
                if error.kind not in WORTH_REPEATING or attempt == TRIES:
                    raise
                time.sleep(error.data.get("retryAfterMs", 500) / 1000)

    def _call_once(self, method, params):
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        request = urllib.request.Request(self.url, json.dumps(call).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as refusal:
            # RATE_LIMITED and BUSY come with a status of their own, and with the same body as any other error.
            answer = json.load(refusal)
        if "error" in answer:
            raise RpcError(answer["error"])
        return answer["result"]


def main():
    token = os.environ.get("TOKEN") or sys.exit("set TOKEN to the agentToken that `quittance dev` prints")
    quittance = Quittance(os.environ.get("RPC", "http://127.0.0.1:4000/rpc"), token)
    sandbox = os.environ.get("SANDBOX", "http://127.0.0.1:4010")

    # Ids of our own, new for each run.
    run = uuid.uuid4()
    todo = quittance.call("todo.create", id=f"todo-{run}", title="Collect the deposit")
    task = quittance.call("customPaymentTask.create", id=f"task-{run}", title="Deposit, 12 Orchard Row")
    created = quittance.call(
        "payment.createPaymentTask",
        amountPence=25_000,
        paymentType="holding_deposit",
        description="Holding deposit, 12 Orchard Row",
        todoId=todo["id"],
        customPaymentTaskId=task["id"],
        idempotencyKey=f"offer-{run}",
    )
    print(f"the tenant pays at {created['checkoutUrl']}")

    # The tenant pays. In a browser one would open the link.
    session = created["checkoutUrl"].rsplit("/", 1)[-1]
    pay = urllib.request.Request(f"{sandbox}/sandbox/sessions/{session}/pay", method="POST")
    urllib.request.urlopen(pay, timeout=TIMEOUT_SECONDS).close()

    # The webhook takes a moment.
    payment_id = created["ledgerEntryId"]
    deadline = time.monotonic() + 10
    while (payment := quittance.call("payment.getPaymentStatus", paymentId=payment_id))["status"] != "succeeded":
        if time.monotonic() > deadline:
            sys.exit(f"not paid after 10 s: it is {payment['status']}")
        time.sleep(0.2)
    print(f"payment {payment['id']} is {payment['status']} since {payment['paidAt']}")

    print(f"todo is {quittance.call('todo.get', todoId=todo['id'])['status']}")
    print(f"task is {quittance.call('customPaymentTask.get', customPaymentTaskId=task['id'])['status']}")
    for row in quittance.call("payment.auditTrail", paymentId=payment_id)["items"]:
        print(f"{row['at']} {row['action']} by {row['actor']}")

    # A failure has a kind, and each kind its fields.
    try:
        quittance.call("payment.cancelPayment", paymentId=payment_id)
    except RpcError as error:
        print(f"it can't be cancelled: {error.kind}")


if __name__ == "__main__":
    main()
