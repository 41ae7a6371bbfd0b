#!/bin/sh
# A smoke test of a bare checkout: enqueue, worker, retry, dead letter queue, logging. Needs only python3.
set -u

here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
work=$(mktemp -d)
QUEUECTL_DB=$work/queuectl.db
export QUEUECTL_DB
failures=0
checks=0

queuectl() { "$python" "$here/main.py" "$@"; }

finish() {
    queuectl worker stop --now >/dev/null 2>&1
    cd / && rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

# check WHAT EXPECTED ACTUAL
check() {
    checks=$((checks + 1))
    if [ "$2" = "$3" ]; then
        echo "ok    $1"
    else
        failures=$((failures + 1))
        printf 'FAIL  %s\n      expected: %s\n      got:      %s\n' "$1" "$2" "$3"
    fi
}

# contains WHAT PART ACTUAL
contains() {
    case $3 in
        *"$2"*) check "$1" yes yes ;;
        *) check "$1" "something with: $2" "$3" ;;
    esac
}

cd "$work" || exit 1

echo "# enqueue"
check "a job as JSON" "enqueued job1" "$(queuectl enqueue '{"id":"job1","command":"echo Hello World; echo oops >&2"}' 2>/dev/null)"
check "a job without quotes" "enqueued job2" "$(queuectl enqueue {"id":"job2","command":"echo 'from the shell'"} 2>/dev/null)"
check "a job as words" "enqueued job3" "$(queuectl enqueue --id job3 -- printf '%s|' 'two words' '$HOME' 2>/dev/null)"
check "a job that fails at first" "enqueued flaky" \
    "$(queuectl enqueue --id flaky --backoff-initial 200ms -c 'echo "try $QUEUECTL_ATTEMPT"; test "$QUEUECTL_ATTEMPT" -ge 3' 2>/dev/null)"
check "a job that always fails" "enqueued doomed" \
    "$(queuectl enqueue '{"id":"doomed","command":"echo no; exit 7","max_retries":1,"backoff_initial":0.2}' 2>/dev/null)"
check "a job with a time limit" "enqueued slow" \
    "$(queuectl enqueue --id slow --timeout 500ms --max-retries 0 -- sleep 60 2>/dev/null)"
queuectl enqueue '{"id":"job1","command":"true"}' >/dev/null 2>&1
check "an id that is taken is refused (exit 4)" 4 $?
queuectl enqueue '{"comand":"true"}' >/dev/null 2>&1
check "bad input is refused (exit 2)" 2 $?
check "all six wait" 6 "$(queuectl list --state pending --quiet | wc -l | tr -d ' ')"

echo "# worker"
check "a worker of two slots runs them all" "started 2 worker(s)" "$(queuectl worker start --count 2 --drain 2>"$work/log")"
check "three completed at once" "completed completed completed" \
    "$(queuectl list --json | "$python" -c 'import json, sys; print(*[job["state"] for job in json.load(sys.stdin)][:3])')"

echo "# retry"
check "the flaky job completed in the end" "flaky completed" "$(queuectl wait flaky)"
check "after three attempts" "try 1 try 2 try 3" "$(queuectl logs flaky --attempt all 2>/dev/null | grep try | xargs)"

echo "# dead letter queue"
check "two jobs are dead" "doomed slow" "$(queuectl dlq list --quiet | sort | xargs)"
contains "one with its exit code" "exit code 7" "$(queuectl dlq list)"
contains "one with its time limit" "timed out" "$(queuectl dlq list)"
check "a retry takes a job out of it" "retried doomed" "$(queuectl dlq retry doomed)"
check "with its attempts back to 0" "0" \
    "$(queuectl list --state pending --json | "$python" -c 'import json, sys; print(json.load(sys.stdin)[0]["attempts"])')"
queuectl worker start --drain >/dev/null 2>&1
queuectl wait doomed >/dev/null 2>&1
check "it died again, and wait ends with its exit code" 7 $?

echo "# logging"
check "both streams in order" "Hello World oops" "$(queuectl logs job1 | xargs)"
check "words are kept as they are" 'two words|$HOME|' "$(queuectl logs job3)"
contains "the worker's log tells of the retry" "flaky failed" "$(cat "$work/log")"
contains "and of its end" "drained" "$(cat "$work/log")"

echo "# stopping"
queuectl worker start --detach --name smoke >/dev/null 2>&1
check "worker stop finds the worker and waits for it" "stopped smoke" "$(queuectl worker stop)"
check "nothing is left running" "" "$(queuectl worker list --quiet)"
check "nor any file of a worker" "" "$(ls "$work/.queuectl.db.d/workers")"

echo
if [ "$failures" -gt 0 ]; then
    echo "$failures of $checks checks failed"
    exit 1
fi
echo "all $checks checks passed"
