#!/bin/sh
# Runs one suite again and again, and stops at the first failure: tests/repeat.sh leader_election 50
set -eu
suite=${1:?the name of a suite in tests/tests}
runs=${2:-50}
cd "$(dirname "$0")/.."
cargo test --quiet -p tests --test "$suite" --no-run
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for run in $(seq "$runs"); do
    if ! cargo test --quiet -p tests --test "$suite" >"$log" 2>&1; then
        cat "$log"
        echo "run $run of $runs failed"
        exit 1
    fi
    echo "run $run of $runs: $(grep '^test result' "$log")"
done
echo "$runs runs in a row passed"
