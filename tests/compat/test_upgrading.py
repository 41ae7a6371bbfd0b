"""docs/upgrading.md, played: from each older release to this one and to a next one, while commands run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from queuectl.domain.errors import Conflict
from queuectl.domain.job import JobState
from tests.compat.newer import install
from tests.compat.older import ON_POSTGRES, RELEASES, Release
from tests.compat.test_older_releases import long_command, running, workshop_at
from tests.workshop import until


def running_jobs(shop: Any) -> list[tuple[str, list[str]]]:
    return [(each.name, [job.id for job in each.running]) for each in shop.client.workers()]


@pytest.mark.parametrize(
    ("name", "kind"), [(name, "sqlite") for name in RELEASES] + [(name, "postgres") for name in ON_POSTGRES]
)
def test_an_upgrade_loses_nothing_that_runs(name: str, kind: str, tmp_path: Path, request: Any) -> None:
    address = str(tmp_path / "queuectl.db") if kind == "sqlite" else request.getfixturevalue("postgres_url")
    older = Release(name, tmp_path)
    older.run(address, "enqueue", "--id", "long", "--max-retries", "0", "-c", long_command(tmp_path))
    older.run(address, "enqueue", "--id", "later", "--delay", "2s", "-c", f"echo x >> {tmp_path}/later")
    with workshop_at(address, tmp_path) as shop, running(older, address) as old:
        until(lambda: (tmp_path / "begun").exists(), "the command runs")

        with pytest.raises(Conflict, match="which cannot restart by itself") as refused:
            shop.client.restart_workers()
        assert f"kill -KILL {old.pid};" in refused.value.hint
        release = install(tmp_path / "installed", "7.0.0")
        worker = shop.worker(1, "--name", "night", PYTHONPATH=str(release))
        old.kill()
        old.wait()
        until(lambda: running_jobs(shop) == [("night", ["long"])], "the command is taken over")

        install(release, "7.1.0")
        (now,) = shop.client.restart_workers()
        assert (now.name, now.pid, now.version) == ("night", worker.pid, "7.1.0")
        (tmp_path / "go").touch()
        (long, later) = shop.finished("long", "later")
        assert (long.state, long.exit_code, long.attempts, long.lost) == (JobState.DEAD, 3, 1, 0)
        assert (later.state, later.attempts) == (JobState.COMPLETED, 1)
        assert [(tmp_path / each).read_text() for each in ("begun", "later")] == ["begun\n", "x\n"]
        assert worker.stop() == 0
        assert (shop.left_files(), shop.store.workers()) == ([], [])
