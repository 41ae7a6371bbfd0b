"""Stores on real mounts, each in a mount namespace of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.needs import lacks
from tests.workshop import clean_environment

RUN = f"{sys.executable} -m queuectl --db"


def mounted(script: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    """Runs a script where it may mount what it likes."""
    words = ["unshare", "--mount", "sh", "-ec", script]
    done = subprocess.run(words, cwd=folder, capture_output=True, env=clean_environment(), timeout=60)
    if b"unshare failed" in done.stderr:
        lacks("the right to mount a file system", "run as root")
    return done


def test_a_store_file_mounted_by_itself_is_refused_on_that_side(tmp_path: Path) -> None:
    done = mounted(
        f"""mkdir a b; {RUN} a/queuectl.db enqueue -- true; touch b/queuectl.db
            mount --bind a/queuectl.db b/queuectl.db; {RUN} a/queuectl.db list --quiet; {RUN} b/queuectl.db list""",
        tmp_path,
    )
    assert done.returncode == 5
    assert f"mount its folder {tmp_path}/b instead of the file" in done.stderr.decode()
    assert not (tmp_path / "b" / "queuectl.db-wal").exists()


def test_a_store_in_a_mounted_folder_is_the_same_store(tmp_path: Path) -> None:
    done = mounted(
        f"""mkdir a b; {RUN} a/queuectl.db enqueue --id one -- true; mount --bind a b
            {RUN} b/queuectl.db list --quiet; {RUN} b/queuectl.db enqueue -- true""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert b"one" in done.stdout


def test_mount_points_of_any_bytes_end_no_command(tmp_path: Path) -> None:
    done = mounted(
        f"""for name in "$(printf 'not \\377 text')" "$(printf 'next\\302\\205line')" "$(printf 'tab\\tnew\\nline')"
            do mkdir "$name"; mount -t tmpfs none "$name"; {RUN} "$name/queuectl.db" enqueue --quiet --id here -- true;
            done
            {RUN} queuectl.db enqueue --quiet -- true""",
        tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(b"here") == 3
