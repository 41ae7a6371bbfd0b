#!/bin/sh
# SQLite 3.53.4 (pysqlite3 0.6.1), Python 3.11
#
# What: a program learns by `PRAGMA data_version` whether another connection has committed something; a second one empties
# the write-ahead log by `PRAGMA wal_checkpoint(TRUNCATE)`, though nothing was written.
# Expected: the version stays, as it does after a checkpoint of any other kind: the content is the same.
# Seen: it changes with each TRUNCATE, also of a log that is empty, so a watcher wakes up for nothing.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'pysqlite3==0.6.1'
cd "$place"
"$place/venv/bin/python" - <<'PYTHON'
from pysqlite3 import dbapi2 as sqlite3

print(sqlite3.sqlite_version)
watcher, other = (sqlite3.connect("a.db", isolation_level=None) for _ in range(2))
other.execute("PRAGMA journal_mode = WAL")
other.execute("CREATE TABLE t (x)")


def version() -> int:
    return watcher.execute("PRAGMA data_version").fetchone()[0]


for kind in ("PASSIVE", "FULL", "RESTART", "TRUNCATE", "TRUNCATE"):
    before = version()
    answer = other.execute(f"PRAGMA wal_checkpoint({kind})").fetchone()
    changed = version() != before
    print(kind, answer, "changed" if changed else "the same")
    assert changed == (kind == "TRUNCATE"), f"{kind} behaves otherwise now"
PYTHON
echo "as seen"
