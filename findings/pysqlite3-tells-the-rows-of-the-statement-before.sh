#!/bin/sh
# pysqlite3 0.6.1, Python 3.11
#
# What: an `UPDATE … RETURNING` that changes five rows, after an UPDATE of three rows; `rowcount` once all are fetched.
# Expected: 5, as the standard library's sqlite3 says it, of which pysqlite3 is a copy for other releases of SQLite.
# Seen: 3: the number of rows of the statement before. An `INSERT … RETURNING` of one row after an UPDATE that matched
# nothing has 0, so a program that asks by rowcount whether it has won a row believes that it has not.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'pysqlite3==0.6.1'
"$place/venv/bin/python" - <<'PYTHON'
import sqlite3
from types import ModuleType

from pysqlite3 import dbapi2


def counts(module: ModuleType) -> list[int]:
    connection = module.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE jobs (id INTEGER)")
    connection.execute("INSERT INTO jobs VALUES (1), (2), (3), (4), (5)")

    def count(statement: str) -> int:
        cursor = connection.execute(statement)
        cursor.fetchall()
        return cursor.rowcount

    return [
        count("UPDATE jobs SET id = id WHERE id <= 3"),
        count("UPDATE jobs SET id = id RETURNING id"),
        count("UPDATE jobs SET id = id WHERE id > 5"),
        count("INSERT INTO jobs VALUES (6) RETURNING id"),
    ]


found = {module.__name__: counts(module) for module in (sqlite3, dbapi2)}
print(found)
assert found["sqlite3"] == [3, 5, 0, 1]
assert found["pysqlite3.dbapi2"] == [3, 3, 0, 0], "pysqlite3 counts right now"
PYTHON
echo "as seen"
