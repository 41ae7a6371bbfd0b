"""A supervisor's folder is made again with all that others need in it."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from queuectl.engine.channel import listen
from queuectl.engine.protocol import JOURNAL_NAME
from queuectl.engine.stamp import FolderStamp
from queuectl.engine.supervise.home import Home
from queuectl.engine.supervise.journal import Journal
from queuectl.engine.supervise.roster import Roster, Sight
from queuectl.store.liveness import is_held
from queuectl.store.passfile import PASSFILE_NAME, Access


@pytest.mark.parametrize("gone", ["the folder", "lock", "socket", "journal", "running", "passfile"])
def test_what_is_removed_of_it_is_made_again(tmp_path: Path, gone: str) -> None:
    folder = tmp_path / "workers" / "one"
    folder.mkdir(parents=True)
    Access("postgresql://me@here/db", "secret").by_way_of(folder / PASSFILE_NAME)
    written = (folder / PASSFILE_NAME).read_text()
    home, journal, roster = Home(tmp_path, folder), Journal(folder / JOURNAL_NAME), Roster(folder, 1)
    sight = Sight(folder)
    sight.hold()
    roster.enter(0, (1, 1), execution=1, since=1.0)
    with listen(folder):
        assert not home.is_gone()
        kept = folder / "slot-0.out"
        kept.write_text("long output")
        shutil.rmtree(folder) if gone == "the folder" else (folder / gone).unlink()
        assert home.is_gone()
        assert [entry.key for entry in sight.running() or ()] == [(1, 1)], "who held it open can read it"
        with home.make_again(journal, roster):
            assert not home.is_gone()
            roster.enter(0, (2, 1), execution=2, since=1.0)
            assert [entry.key for entry in sight.running() or ()] == [(2, 1)]
    sight.close()
    assert is_held(folder)
    assert (folder / PASSFILE_NAME).read_text() == written
    assert stat.S_IMODE(os.stat(folder / PASSFILE_NAME).st_mode) == 0o600
    assert kept.exists() == (gone != "the folder")


def test_a_folder_is_at_rest_once_two_looks_saw_the_same_entries(tmp_path: Path) -> None:
    stamp = FolderStamp(str(tmp_path))
    assert [stamp.is_unchanged() for _ in range(4)] == [False, False, True, True]
    for change in (lambda: (tmp_path / "a").touch(), lambda: (tmp_path / "a").rename(tmp_path / "b")):
        change()
        os.utime(tmp_path)  # the kernel's clock may not have ticked
        assert [stamp.is_unchanged() for _ in range(3)] == [False, False, True]
    stamp.forget()
    assert not stamp.is_unchanged()


def test_a_home_that_could_not_be_made_again_stays_lost(tmp_path: Path) -> None:
    folder = tmp_path / "workers" / "one"
    folder.mkdir(parents=True)
    home, journal, roster = Home(tmp_path, folder), Journal(folder / JOURNAL_NAME), Roster(folder, 1)
    with listen(folder):
        assert not any(home.is_lost(now) for now in (10.0, 20.0, 30.0))
        (folder / "lock").unlink()
        os.utime(folder, (1, 1))  # within one tick of the clock nothing would show that it has changed
        assert all(home.is_lost(now) for now in (40.0, 50.0, 60.0, 70.0))
        home.make_again(journal, roster).close()
        assert not any(home.is_lost(now) for now in (80.0, 90.0, 100.0))
