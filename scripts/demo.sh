#!/bin/sh
# A month of real usage, from events to invoices and partner statements, on a stack of its own that is gone
# afterwards. Each command is printed before it runs.
set -eu
cd "$(dirname "$0")/.."
PATH="$PWD/.venv/bin:$PATH"
export PATH
month=examples/flights-2013-01

show() {
  printf '\n$ %s\n' "$*"
  "$@"
}

if [ "${1:-}" != --beside-a-stack ]; then
  started=$(date +%s)
  show apportion stack exec -- sh scripts/demo.sh --beside-a-stack
  printf '\nThe demo took %s s; everything that it started has ended.\n' "$(($(date +%s) - started))"
  exit 0
fi

show apportion stack status
show apportion apply "$month/scenario.json"
show apportion ingest "$month/events.csv.gz"
show apportion status --wait 120
show apportion lines --org EV --limit 5
show apportion sweep 2013-W01 2013-W02 2013-W03 2013-W04 2013-W05
show apportion close 2013-01 --all
show apportion invoice 2013-01 --finalize
show apportion invoice 2013-01 --account southwest
show apportion statement northwind harbour summit
printf '\nThe same events again change nothing:\n'
show apportion ingest "$month/events.csv.gz" --limit 5000 --ack committed
show apportion verify "$month/scenario.json" "$month/events.csv.gz"
show apportion digest
