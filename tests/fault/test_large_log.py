"""A log that grows without end has a culprit, and a file that has become empty can shrink."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from queuectl.client import doctor
from queuectl.domain.finding import Finding
from queuectl.domain.selector import Selector
from queuectl.store.sqlite import wal
from queuectl.store.sqlite.store import SqliteStore
from tests.builders import a_job
from tests.workshop import Workshop, clean_environment

READER = """
import sys
from queuectl.store.sqlite.connection import sqlite3
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("BEGIN")
db.execute("SELECT count(*) FROM jobs").fetchall()
print("open", flush=True)
sys.stdin.read()
"""


def findings(store: SqliteStore) -> list[Finding]:
    return [finding for finding in doctor.examine(store.path) if finding.code == "log_large"]


def test_who_keeps_a_log_large_is_named_and_it_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal, "LIMIT_BYTES", 1 << 20)
    with closing(SqliteStore(tmp_path / "queuectl.db")) as store:
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
        for number in range(30, 33):
            store.insert([a_job(str(number))])
        assert Path(f"{store.path}-wal").stat().st_size <= 1 << 20


def test_pruning_can_shrink_the_file_under_a_worker(shop: Workshop) -> None:
    shop.store.insert([a_job(str(number), command="x" * 100_000, queue="nobody's") for number in range(30)])
    gate = shop.folder / "gate"
    long = shop.enqueue(f"until [ -e {gate} ]; do sleep 0.05; done", priority=1)
    worker = shop.worker(1, "--queue", "default")
    shop.started(long)
    shop.store.delete([str(number) for number in range(29)])
    words = [sys.executable, "-m", "queuectl", "--db", str(shop.db), "prune", "--shrink", "--yes"]
    done = subprocess.run(words, capture_output=True, text=True, env=clean_environment())
    assert done.returncode == 0, done.stderr
    assert shop.db.stat().st_size < 1 << 20
    gate.touch()
    assert shop.finished(long)[0].lost == 0
    assert sorted(job.id for job in shop.store.find(Selector())) == sorted(["29", long])
    assert isinstance(shop.store, SqliteStore)
    assert shop.store.integrity() == []
    assert worker.stop() == 0
