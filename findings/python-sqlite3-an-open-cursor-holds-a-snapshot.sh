#!/bin/sh
# Python 3.11 (sqlite3), and pysqlite3 0.6.1
#
# What: a connection without transactions of its own (`isolation_level=None`), in WAL mode, with a timeout of a minute. It
# fetches one row of many and keeps the cursor. Then another connection adds a job.
# Expected: the next query sees that job, and an UPDATE works: `in_transaction` is False, and nobody holds a lock.
# Seen: every query of the connection sees the old state while the cursor is alive, and the UPDATE fails at once with
# "database is locked", whatever the timeout. A query that has not ended keeps its snapshot, for all others as well. Once
# the cursor is closed all is as expected; that a reference to it is left in a traceback or a variable is enough.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'pysqlite3==0.6.1'
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import sqlite3
from typing import Any

import pysqlite3


def look(connection: Any) -> tuple[bool, int, str]:
    """Whether it is in a transaction, how many jobs it sees, and what an UPDATE yields."""
    (count,) = connection.execute("SELECT count(*) FROM jobs").fetchone()
    try:
        said = str(connection.execute("UPDATE jobs SET state = 'taken' WHERE id = 1").rowcount)
    except (sqlite3.OperationalError, pysqlite3.OperationalError) as error:
        said = str(error)
    return connection.in_transaction, count, said


for driver in (sqlite3, pysqlite3):
    reader, other = (driver.connect(f"{driver.__name__}.db", isolation_level=None, timeout=60) for _ in range(2))
    reader.execute("PRAGMA journal_mode = WAL").fetchone()
    reader.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, state TEXT)")
    reader.executemany("INSERT INTO jobs (state) VALUES (?)", [("due",)] * 3)
    cursor = reader.execute("SELECT id FROM jobs")
    cursor.fetchone()
    other.execute("INSERT INTO jobs (state) VALUES ('new')")
    meanwhile = look(reader)
    cursor.close()
    afterwards = look(reader)
    print(driver.__name__, "meanwhile:", meanwhile, "once it is closed:", afterwards)
    assert afterwards == (False, 4, "1")
    assert meanwhile == (False, 3, "database is locked"), "an open cursor keeps no snapshot now"
PYTHON
echo "as seen"
