#!/bin/sh
# SQLite 3.53.4 (pysqlite3 0.6.1), Python 3.11
#
# What: with a busy timeout of 30 s a connection changes the journal mode to WAL while another one reads for a second, and
# while another one writes for a second.
# Expected: it waits in both cases, as any other statement does.
# Seen: it waits for the reader; with the writer it fails at once with "database is locked", whatever the timeout is.
# So a program that sets WAL each time it opens its file can fail when it is started twice at the very beginning.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'pysqlite3==0.6.1'
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
import threading
import time

from pysqlite3 import dbapi2 as sqlite3

print(sqlite3.sqlite_version)


def change_beside(name: str, begin: str, look: str, change: str) -> tuple[str, bool]:
    """What the change yields, and whether it waited."""
    settings = {"isolation_level": None, "timeout": 30, "check_same_thread": False}
    first, second = (sqlite3.connect(name, **settings) for _ in range(2))
    first.execute("CREATE TABLE t (x)")
    second.execute("SELECT * FROM t").fetchall()
    first.execute(begin)
    first.execute(look).fetchall()
    threading.Timer(1, lambda: first.execute("COMMIT")).start()
    began = time.monotonic()
    try:
        found = second.execute(change).fetchone()
        return str(found and found[0]), time.monotonic() - began > 0.5
    except sqlite3.OperationalError as error:
        return str(error), time.monotonic() - began > 0.5


WAL = "PRAGMA journal_mode = WAL"
reader = change_beside("a.db", "BEGIN", "SELECT * FROM t", WAL)
writer = change_beside("b.db", "BEGIN IMMEDIATE", "SELECT 1", WAL)
other = change_beside("c.db", "BEGIN IMMEDIATE", "SELECT 1", "INSERT INTO t VALUES (1)")
print("beside a reader:", *reader, "| beside a writer:", *writer, "| an INSERT beside a writer:", *other)
assert reader == ("wal", True)
assert other == ("None", True)
assert writer == ("database is locked", False), "the change waits for a writer now"
PYTHON
echo "as seen"
