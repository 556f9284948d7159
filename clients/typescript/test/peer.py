"""jsonrpcclient makes a payment and reads it back: peer.py URL TOKEN."""

import json
import sys
import urllib.request

from jsonrpcclient import Ok, parse, request

URL, TOKEN = sys.argv[1:]


def call(method, **params):
    body = json.dumps(request(method, params=params)).encode()
    headers = {"content-type": "application/json", "authorization": f"Bearer {TOKEN}"}
    with urllib.request.urlopen(urllib.request.Request(URL, body, headers)) as answer:
        return parse(json.load(answer))


made = call("payment.createPaymentTask", amountPence=25_000, paymentType="custom", description="Keys")
assert isinstance(made, Ok), made
payment = call("payment.getPaymentStatus", paymentId=made.result["ledgerEntryId"])
missing = call("payment.getPaymentStatus", paymentId="nothing")
print(json.dumps({"status": payment.result["status"], "kind": missing.data["kind"]}))
