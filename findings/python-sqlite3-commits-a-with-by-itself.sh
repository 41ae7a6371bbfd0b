#!/bin/sh
# Python 3.11 (sqlite3), and pysqlite3 0.6.1
#
# What: a connection as `connect` makes it, which begins a transaction before a statement that changes rows, takes a job by
# `WITH due AS (…) UPDATE …`; then it rolls back.
# Expected: nothing has changed, as after the same UPDATE without WITH, and `rowcount` is the number of rows, here 1.
# Seen: the change stays, and `rowcount` is -1. Only the first word is looked at, and WITH is taken for a query, so no
# transaction begins and the statement commits by itself. pysqlite3, a copy of the module, begins one and counts the row:
# a program that is moved from one to the other for a newer SQLite rolls back what it kept before.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'pysqlite3==0.6.1'
"$place/venv/bin/python" - <<'PYTHON'
import sqlite3
from typing import Any

import pysqlite3

UPDATE = "UPDATE jobs SET state = 'taken' WHERE id = 1"
WITH = "WITH due AS (SELECT 1 AS job) UPDATE jobs SET state = 'taken' WHERE id IN (SELECT job FROM due)"


def rolled_back(driver: Any, statement: str) -> tuple[bool, int, str]:
    """Whether a transaction was open, the number of rows, and what the job is after a rollback."""
    connection = driver.connect(":memory:")
    connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, state TEXT)")
    connection.execute("INSERT INTO jobs VALUES (1, 'due')")
    connection.commit()
    rows, open_then = connection.execute(statement).rowcount, connection.in_transaction
    connection.rollback()
    return open_then, rows, connection.execute("SELECT state FROM jobs").fetchone()[0]


plain, after_with, copied = rolled_back(sqlite3, UPDATE), rolled_back(sqlite3, WITH), rolled_back(pysqlite3, WITH)
print("UPDATE:", plain, "WITH … UPDATE:", after_with, "the same by pysqlite3:", copied)
assert plain == (True, 1, "due")
assert copied == plain, "pysqlite3 takes it otherwise now"
assert after_with == (False, -1, "taken"), "WITH is seen to change something now"
PYTHON
echo "as seen"
