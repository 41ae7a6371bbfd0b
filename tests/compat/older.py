"""Older releases of queuectl, as they were, run beside this one on the same store.

`releases/` holds their source, without the web server; `stores/` a store that each has made, with a job in every state.
To make the stores again: python -m tests.compat.older
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.server import binaries, new_schema, start_server
from tests.workshop import clean_environment, until

HERE = Path(__file__).parent
RELEASES = ("0.1.0", "0.2.0.dev1")
ON_POSTGRES = ("0.2.0.dev1",)
"""Releases that know this kind of store."""

STATES = {"done": "completed", "sorry": "dead", "again": "failed", "gone": "cancelled", "later": "pending"}
"""The jobs of a made store, with their states."""


class Release:
    """The command line of an older release."""

    def __init__(self, name: str, folder: Path) -> None:
        """Unpacks it into `folder`."""
        self.name = name
        self._folder = folder
        self._source = folder / name
        with tarfile.open(HERE / "releases" / f"{name}.tar.xz") as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Debian 12's Python has none
            archive.extractall(self._source)

    def _environment(self, db: Path | str) -> dict[str, str]:
        return clean_environment(PYTHONPATH=str(self._source), QUEUECTL_DB=str(db), XDG_STATE_HOME=str(self._folder))

    def run(self, db: Path | str, *words: str) -> str:
        """What a command prints. It must succeed."""
        done = subprocess.run(
            [sys.executable, "-m", "queuectl", *words], env=self._environment(db), capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def states(self, db: Path | str) -> dict[str, str]:
        """The state of every job by its id."""
        return {job["id"]: job["state"] for job in json.loads(self.run(db, "list", "--json"))}

    def start_worker(self, db: Path | str, *options: str) -> subprocess.Popen[str]:
        """A worker of this release, once it serves."""
        process = subprocess.Popen(
            [sys.executable, "-m", "queuectl", "worker", "start", *options], env=self._environment(db),
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        assert process.stdout
        with process.stdout:
            assert process.stdout.readline().startswith("started")
        return process


def make_store(release: Release, db: Path | str) -> None:
    """Has a release make a store with a job in every state of `STATES`."""
    never = ("--backoff-initial", "20000d", "--backoff-max", "20000d")
    release.run(db, "config", "set", "max-retries", "1")
    release.run(db, "enqueue", "--id", "done", "--tag", "kept", "-c", "echo hello; echo oops >&2")
    release.run(db, "enqueue", "--id", "sorry", "--max-retries", "0", "-c", "exit 7")
    release.run(db, "enqueue", "--id", "again", *never, "-c", "exit 3")
    release.run(db, "enqueue", "--id", "gone", "--hold", "--", "true")
    release.run(db, "cancel", "gone")
    release.run(db, "enqueue", "--id", "later", "--queue", "night", "--delay", "20000d", "--", "echo", "two words")
    worker = release.start_worker(db, "--queue", "default")
    until(lambda: release.states(db) == STATES, "every job is in its state")
    worker.terminate()
    assert worker.wait(60) == 0


def dump(url: str, file: Path) -> None:
    """Writes a PostgreSQL store as SQL, the name of its schema left open."""
    server, _, schema = url.partition("?schema=")
    words = [str(binaries() / "pg_dump"), "--schema", schema, "--no-owner", "--no-privileges", "--inserts", server]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    of_session = ("--", "\\", "SET ", "SELECT pg_catalog.set_config")
    kept = [line for line in text.splitlines() if line and not line.startswith(of_session)]
    file.write_text("\n".join(kept).replace(schema, "{schema}") + "\n")


def main() -> None:
    """Makes the stores."""
    stores = HERE / "stores"
    stores.mkdir(exist_ok=True)
    server = start_server()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for name in RELEASES:
                release, db = Release(name, Path(folder)), Path(folder, f"{name}.db")
                make_store(release, db)
                shutil.copy(db, stores)
                if name in ON_POSTGRES:
                    url = new_schema(server.url)
                    make_store(release, url)
                    dump(url, stores / f"{name}.sql")
    finally:
        server.remove()


if __name__ == "__main__":
    main()
