#!/bin/sh
# procrastinate 3.10.0, Python 3.11
#
# What: a task with `retry=RetryStrategy(max_attempts=1)` that always fails.
# Expected: one attempt, as the name says.
# Seen: it is attempted twice: `max_attempts` counts the retries.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'procrastinate==3.10.0'
"$place/venv/bin/python" - <<'PYTHON'
import asyncio

from procrastinate import App, RetryStrategy
from procrastinate.testing import InMemoryConnector

app, runs = App(connector=InMemoryConnector()), []


@app.task(retry=RetryStrategy(max_attempts=1))
def fails() -> None:
    runs.append(1)
    raise ValueError("no luck")


async def main() -> None:
    async with app.open_async():
        await fails.defer_async()
        await app.run_worker_async(wait=False, install_signal_handlers=False, listen_notify=False)


asyncio.run(main())
print("attempts:", len(runs))
assert len(runs) == 2, "max_attempts means something else now"
PYTHON
echo "as seen"
