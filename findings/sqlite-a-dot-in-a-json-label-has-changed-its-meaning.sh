#!/bin/sh
# SQLite 3.40.1 and 3.54.1 (apsw 3.40.1.0 and 3.54.1.0), Python 3.11
#
# What: a file made with the older release has an index on `spec ->> 'env.zone'`; then the newer one opens it.
# Expected: the expression means the same: zone within env, as the manual said that a label x is read as the path $.x.
# Seen: since 3.45 it is a single label with a dot in it, and yields NULL, without a word. In one file the same query finds
# the row by its index and not without; only an integrity check tells. A path that begins with $ means what it did.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
cd "$place"
for release in 3.40.1.0 3.54.1.0; do
    python3 -m venv "$release"
    "$release/bin/pip" install --quiet --disable-pip-version-check "apsw==$release"
done
cat > look.py <<'PYTHON'
import apsw

connection = apsw.Connection("a.db")
ask = "SELECT id FROM jobs {} WHERE spec ->> 'env.zone' = 'eu'"
if not connection.execute("SELECT * FROM sqlite_master").fetchall():
    connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, spec TEXT)")
    connection.execute("""INSERT INTO jobs VALUES (1, '{"env": {"zone": "eu"}}')""")
    connection.execute("CREATE INDEX zones ON jobs (spec ->> 'env.zone')")
(value,) = connection.execute("SELECT spec ->> 'env.zone' FROM jobs NOT INDEXED").fetchone()
(path,) = connection.execute("SELECT spec ->> '$.env.zone' FROM jobs NOT INDEXED").fetchone()
counts = [len(connection.execute(ask.format(how)).fetchall()) for how in ("INDEXED BY zones", "NOT INDEXED")]
(check,) = connection.execute("PRAGMA integrity_check").fetchone()
print(value, path, *counts, check)
PYTHON
older=$(3.40.1.0/bin/python look.py)
newer=$(3.54.1.0/bin/python look.py)
printf '%s\n' "3.40.1: $older" "3.54.1: $newer"
test "$older" = "eu eu 1 1 ok"
case "$newer" in
    "None eu 1 0 "*missing*) ;;
    *) echo "the newer release sees it otherwise now"; exit 1 ;;
esac
echo "as seen"
