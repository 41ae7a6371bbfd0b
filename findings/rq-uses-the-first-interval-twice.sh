#!/bin/sh
# rq 3.0.0, Python 3.11
#
# What: `Retry(max=3, interval=[1, 2])` gives a list of waits that is shorter than the number of retries.
# Expected: 1 s, then 2 s, then 2 s: the last wait is repeated.
# Seen: 1 s, 1 s, 2 s: the list is aligned at its end, so the first wait is repeated and growing waits grow late.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'rq==3.0.0' 'fakeredis==2.32.0'
"$place/venv/bin/python" - <<'PYTHON'
from fakeredis import FakeStrictRedis
from rq import Queue, Retry

job = Queue(connection=FakeStrictRedis()).enqueue(print, retry=Retry(max=3, interval=[1, 2]))
waits = []
while job.retries_left:
    waits.append(job.get_retry_interval())
    job.retries_left -= 1
print(waits)
assert waits == [1, 1, 2], "the waits are others now"
PYTHON
echo "as seen"
