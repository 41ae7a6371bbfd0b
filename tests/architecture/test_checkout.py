"""A fresh clone works wherever it lies, and holds what a release is made of."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from zipfile import ZipFile

from tests.needs import lacks
from tests.server import UNPRIVILEGED

ROOT = Path(__file__).parents[2]


def test_the_test_server_reaches_programs_that_only_root_may_reach(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    program = home / "program"
    program.write_text("#!/bin/sh\nid -u\n")
    program.chmod(0o700)
    subprocess.run([*UNPRIVILEGED, "test", "-x", program], check=True)  # PostgreSQL asks access(2) too
    user = int(subprocess.run([*UNPRIVILEGED, program], check=True, capture_output=True, text=True).stdout)
    assert user == (os.geteuid() or 65534)


def git(folder: Path, *words: str) -> list[str]:
    git = ["git", "-C", str(folder), "-c", "safe.directory=*"]  # whoever owns the clone
    done = subprocess.run([*git, *words, "-z"], check=True, capture_output=True, text=True)
    return done.stdout.rstrip("\0").split("\0")


def test_a_release_holds_what_git_tracks_and_nothing_else(tmp_path: Path) -> None:
    if not (ROOT / ".git").exists():
        lacks("git's list of files", "run the tests in a clone")
    copy, made = tmp_path / "copy", tmp_path / "made"
    tracked = [name for name in git(ROOT, "ls-files") if (ROOT / name).is_file()]
    for name in tracked:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    subprocess.run(["git", "init", "-q", str(copy)], check=True)
    subprocess.run(["git", "-C", str(copy), "add", "--all", "--force"], check=True)
    for stray in ("docs/notes.md", "src/queuectl/scratch.py", "tests/untracked.py"):
        (copy / stray).write_text("secret")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d", str(made)]
    subprocess.run(build, check=True, cwd=copy, capture_output=True)
    (sdist,), (wheel,) = made.glob("*.tar.gz"), made.glob("*.whl")
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert packed == {*tracked, "PKG-INFO"}
    package = "src/queuectl/"
    with ZipFile(wheel) as archive:
        installed = {name for name in archive.namelist() if not re.search(r"\.(dist-info|data)/", name)}
    modules = {name.removeprefix("src/") for name in tracked if name.startswith(package)}
    schemas = {name.replace("docs/", "queuectl/", 1) for name in tracked if name.startswith("docs/schema/")}
    assert installed == modules | schemas
