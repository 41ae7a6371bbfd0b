"""What all tests share."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import closing
from itertools import accumulate, groupby
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from queuectl.engine.signals import STOPPING
from queuectl.store.postgres.store import PostgresStore
from tests import needs
from tests.server import drop_schema, new_database, new_schema, shared_server
from tests.workshop import Workshop, open_workshop

# A shell has what it puts in the background ignore these, and whatever is started from here would inherit that.
for signum in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
    if signal.getsignal(signum) is signal.SIG_IGN:
        signal.signal(signum, signal.default_int_handler if signum == signal.SIGINT else signal.SIG_DFL)


MEMORY, MEMORY_MIN_BYTES = Path("/dev/shm"), 4 << 30
DISK = "QUEUECTL_TEST_DISK"
"""The variable that tells the processes of a run where temporary files would be else."""


def pytest_configure(config: pytest.Config) -> None:
    """Has temporary files in memory, where there is room: a disk takes several times as long to make, sync and remove
    them, and what is promised of power cuts no test here could see."""
    if DISK in os.environ or config.option.basetemp or not os.access(MEMORY, os.W_OK):
        return
    if shutil.disk_usage(MEMORY).free < MEMORY_MIN_BYTES:
        return
    os.environ[DISK] = tempfile.gettempdir()
    folder = tempfile.mkdtemp(prefix="qt-", dir=MEMORY)
    os.chmod(folder, 0o755)
    os.environ["TMPDIR"] = tempfile.tempdir = folder
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Spreads the modules of tests that mostly wait evenly among the others, which need the processors meanwhile: each
    process of a run begins with a stretch of the list."""
    modules = [list(tests) for _, tests in groupby(items, key=lambda item: item.path)]
    placed = []
    for waits in (False, True):
        some = [tests for tests in modules if (tests[0].path.parent.name == "fault") is waits]
        before = accumulate(map(len, some), initial=0)
        placed += [(start / sum(map(len, some)), tests) for start, tests in zip(before, some, strict=False)]
    items[:] = [item for _, tests in sorted(placed, key=lambda each: each[0]) for item in tests]


@pytest.fixture
def disk_path() -> Iterator[Path]:
    """A folder that is not in memory."""
    with tempfile.TemporaryDirectory(dir=os.environ.get(DISK)) as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def signals_stay() -> Iterator[None]:
    """What a test has its process ignore, the workers that later tests start would ignore too."""
    before = [signal.getsignal(signum) for signum in STOPPING]
    yield
    assert [signal.getsignal(signum) for signum in STOPPING] == before


# Always the same examples, so that a change is told from luck, and the machine's noise is no failure.
# `--hypothesis-profile=explore` goes where nobody has been; a failing example is printed with the blob that repeats it.
settings.register_profile(
    "queuectl", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile(
    "explore", settings.get_profile("queuectl"), derandomize=False, max_examples=1000, print_blob=True
)
settings.load_profile("queuectl")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what was not tested, or less than it could be."""
    reports = [each for kind in ("passed", "skipped") for each in terminalreporter.getreports(kind)]
    for line in needs.told(reports):
        terminalreporter.write_line(line, yellow=True)


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of this process's own database on a PostgreSQL server for the whole run.

    Other processes use the server at the same time: a test that changes more than its database starts another one.
    """
    if given := os.environ.get("QUEUECTL_TEST_POSTGRES"):
        yield given
        return
    process = os.environ.get("PYTEST_XDIST_WORKER", "")
    folder = tmp_path_factory.getbasetemp()
    with shared_server(folder.parent if process else folder) as url:
        yield new_database(url, process or "alone")


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """The URL of a store that does not exist yet; it is removed afterwards."""
    url = new_schema(postgres_server)
    yield url
    drop_schema(url)


@pytest.fixture(scope="session")
def made_store(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresStore]:
    """A store on a server."""
    url = new_schema(postgres_server)
    with closing(PostgresStore(url, tmp_path_factory.mktemp("made"))) as store:
        yield store
    drop_schema(url)


@pytest.fixture
def emptied_url(made_store: PostgresStore) -> Iterator[str]:
    """The URL of a store that is empty, and emptied after the test: that costs a tenth of making another."""
    facts = made_store._select("SELECT value, name FROM {schema}.meta WHERE name LIKE ?", ["oldest reader%"])
    yield made_store.address
    made_store.reset()
    for each in facts:
        made_store._execute("UPDATE {schema}.meta SET value = ? WHERE name = ? AND value <> ?", [*each, each[0]])


@pytest.fixture
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Workshop]:
    """A workshop on SQLite, or on each kind of store if the test says `on_each_store`."""
    kind = getattr(request, "param", "sqlite")
    url = request.getfixturevalue("emptied_url") if kind == "postgres" else None
    with open_workshop(tmp_path, url) as workshop:
        yield workshop
