"""A real `queuectl serve` on a store of its own, for browsers to look at."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlencode

from queuectl.client import Client
from queuectl.store.sqlite import SqliteStore
from tests.workshop import clean_environment

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str | None:
    """This machine's Chromium, if it has one; `QUEUECTL_TEST_CHROMIUM` names another."""
    return os.environ.get("QUEUECTL_TEST_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUMS)), None)


class Served(NamedTuple):
    """A running server: where it is, the token that may do all, and its store."""

    url: str
    token: str
    db: Path
    pid: int

    def login(self, path: str = "/") -> str:
        """The address that logs a browser in and leads to a page."""
        return f"{self.url}/login?{urlencode({'token': self.token, 'next': path})}"

    def queuectl(self, *words: str) -> str:
        """What a command on the same store prints."""
        done = subprocess.run(
            [sys.executable, "-m", "queuectl", "--db", str(self.db), *words], env=clean_environment(),
            capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextmanager
    def client(self) -> Iterator[Client]:
        """A client of the same store."""
        client = Client(SqliteStore(str(self.db)))
        try:
            yield client
        finally:
            client.close()


@contextmanager
def served(folder: Path, *options: str) -> Iterator[Served]:
    """A server until the end of the block; then it must end by itself when told to."""
    db = folder / "queuectl.db"
    words: Sequence[str] = ["serve", "--port", "0", "--json", *options]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "queuectl", "--db", str(db), *words], stdout=subprocess.PIPE, stderr=log, text=True,
            env=clean_environment(), cwd=folder, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdout
        try:
            text = ""
            while not text.endswith("}\n"):
                line = process.stdout.readline()
                assert line, (folder / "server.log").read_text()
                text += line
            said = json.loads(text)
            token = said["login"].partition("token=")[2]
            yield Served(url=said["url"], token=token, db=db, pid=process.pid)
        finally:
            process.terminate()
            process.stdout.close()
            assert process.wait(10) == 0, (folder / "server.log").read_text()
