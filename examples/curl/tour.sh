#!/usr/bin/env bash
# A payment from request to receipt, with curl: TOKEN=qt_… examples/curl/tour.sh, beside `quittance dev`.
set -euo pipefail
: "${TOKEN:?the agentToken that \`quittance dev\` prints}"
RPC=${RPC:-http://127.0.0.1:4000/rpc}
SANDBOX=${SANDBOX:-http://127.0.0.1:4010}

# Calls a procedure, and shows the answer. An answer with an error ends the tour: it comes with HTTP 200.
rpc() { # rpc METHOD PARAMS
  answer=$(curl --silent --show-error --max-time 15 "$RPC" \
    --header "authorization: Bearer $TOKEN" --header 'content-type: application/json' \
    --data "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"$1\",\"params\":$2}")
  echo "$1: $answer"
  case $answer in *'"error":'*) exit 1 ;; esac
}

# The text of a field of the last answer. A program would read the JSON.
field() { # field NAME
  sed "s/.*\"$1\":\"\([^\"]*\)\".*/\1/" <<<"$answer"
}

# Ids of our own, new for each run. The same id with the same values may be sent again, whatever became of the first.
run=$(date +%s)-$$
rpc todo.create "{\"id\":\"todo-$run\",\"title\":\"Collect the deposit\"}"
rpc customPaymentTask.create "{\"id\":\"task-$run\",\"title\":\"Deposit, 12 Orchard Row\"}"

rpc payment.createPaymentTask "{\"amountPence\":25000,\"paymentType\":\"holding_deposit\",
  \"description\":\"Holding deposit, 12 Orchard Row\",\"todoId\":\"todo-$run\",
  \"customPaymentTaskId\":\"task-$run\",\"idempotencyKey\":\"offer-$run\"}"
payment=$(field ledgerEntryId)
session=$(basename "$(field checkoutUrl)")

# The tenant pays. In a browser one would open the checkoutUrl.
curl --silent --show-error --fail --max-time 15 --request POST "$SANDBOX/sandbox/sessions/$session/pay"
echo

# The webhook takes a moment.
for try in $(seq 50); do
  rpc payment.getPaymentStatus "{\"paymentId\":\"$payment\"}" >/dev/null
  case $answer in *'"status":"succeeded"'*) break ;; esac
  [ "$try" -lt 50 ] || { echo "not paid after 10 s: $answer" >&2; exit 1; }
  sleep 0.2
done

rpc payment.getPaymentStatus "{\"paymentId\":\"$payment\"}"
rpc todo.get "{\"todoId\":\"todo-$run\"}"
rpc customPaymentTask.get "{\"customPaymentTaskId\":\"task-$run\"}"
rpc payment.auditTrail "{\"paymentId\":\"$payment\"}"
rpc payment.stats '{}'
