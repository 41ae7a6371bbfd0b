#!/bin/sh
# SQLite 3.54.1 (apsw 3.54.1.0), Python 3.11
#
# What: an index over `WHERE state = 'due'`, and one query with `state = ?`, run for each of three states.
# Expected: the query reads the whole table each time: it is compiled before a value is bound, so nobody knows then
# whether the index has all the rows that it may need.
# Seen: with 'due' it uses the index, with any other value it reads the table. SQLite compiles the statement again for what
# is bound, so one statement has two plans; the plan that EXPLAIN shows for one value tells nothing of another one. But who
# asks for that very index by INDEXED BY is refused, with 'due' too: there the value is not looked at.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'apsw==3.54.1.0'
"$place/venv/bin/python" - <<'PYTHON'
from typing import Any

import apsw

read: list[int] = []


def note(event: dict[str, Any]) -> None:
    read.append(event["stmt_status"]["SQLITE_STMTSTATUS_FULLSCAN_STEP"])


def answer(how: str, state: str) -> str:
    try:
        return f"{len(connection.execute(f'SELECT id FROM jobs {how} WHERE state = ? AND at < 5', [state]).fetchall())} rows"
    except apsw.SQLError as error:
        return str(error)


connection = apsw.Connection(":memory:")
connection.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, state TEXT, at INTEGER)")
connection.execute("CREATE INDEX due ON jobs (at) WHERE state = 'due'")
connection.executemany("INSERT INTO jobs (state, at) VALUES (?, 1)", [("due",), ("dead",), *[("done",)] * 98])
connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, note)
for state, rows, whole in (("due", 1, False), ("done", 98, True), ("dead", 1, True), ("due", 1, False)):
    read.clear()
    assert answer("", state) == f"{rows} rows"
    print(state, "reads the table" if read[-1] else "uses the index")
    assert (read[-1] > 90) == whole, "what is bound does not count now"
connection.trace_v2(0)
forced = [answer("INDEXED BY due", state) for state in ("due", "done")]
print("forced to the index:", forced)
assert forced == ["no query solution"] * 2, "INDEXED BY takes what is bound otherwise now"
PYTHON
echo "as seen"
