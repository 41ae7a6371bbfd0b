"""A log that grows without end has a culprit, and a file that has become empty can shrink."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from queuectl.client import doctor
from queuectl.domain.finding import Finding
from queuectl.domain.selector import Selector
from queuectl.store.sqlite import wal
from queuectl.store.sqlite.store import SqliteStore
from tests.builders import a_job
from tests.workshop import clean_environment

READER = """
import sys
from queuectl.store.sqlite.connection import sqlite3
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN")
db.execute("SELECT count(*) FROM jobs").fetchall()
print("open", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    with closing(SqliteStore(tmp_path / "queuectl.db")) as store:
        yield store


def findings(store: SqliteStore) -> list[Finding]:
    return [finding for finding in doctor.examine(store.path) if finding.code == "log_large"]


def test_an_open_transaction_under_a_large_log_is_named(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal, "LIMIT_BYTES", 1 << 20)
    words = [sys.executable, "-c", READER, store.path]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
        assert reader.stdout
        assert reader.stdout.readline() == b"open\n"
        for number in range(30):
            store.insert([a_job(str(number), command="x" * 100_000)])
        (finding,) = findings(store)
        assert (finding.level, finding.fix) == ("warning", f"end it: kill {reader.pid}")
        reader.kill()
    for finding in findings(store):
        assert finding.level == "note"


def test_pruning_can_shrink_the_file(tmp_path: Path) -> None:
    db = tmp_path / "queuectl.db"
    with closing(SqliteStore(db)) as store:
        store.insert([a_job(str(number), command="x" * 100_000) for number in range(30)])
        store.delete([job.id for job in store.find(Selector())][:-1])
        words = [sys.executable, "-m", "queuectl", "--db", str(db), "prune", "--shrink", "--yes"]
        done = subprocess.run(words, capture_output=True, text=True, env=clean_environment())
        assert done.returncode == 0, done.stderr
        assert db.stat().st_size < 1 << 20
        assert [job.id for job in store.find(Selector())] == ["29"]
        assert store.integrity() == []
