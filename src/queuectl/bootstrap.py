"""The composition root: from settings to a store, and from a store to a running worker."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from queuectl.domain.errors import Conflict, Invalid, OperationFailed, QueuectlError, StoreUnavailable, no_store
from queuectl.store.port import Moved, Store

if TYPE_CHECKING:
    from pathlib import Path

    from queuectl.store.postgres.store import PostgresStore
    from queuectl.store.shared.archive import Archive
    from queuectl.store.sqlite.store import SqliteStore

LOCAL_NAME = "queuectl.db"
CONNECTION_STRING = re.compile(
    r"\s*(host|hostaddr|port|dbname|user|password|passfile|service|sslmode|options|connect_timeout|application_name|"
    r"target_session_attrs)\s*="
)
"""How libpq's connection strings begin. Write `./host=…` for a file of such a name."""


def locate_store(given: str | None) -> str:
    """The address of the store: `given`, else `$QUEUECTL_DB`, else the nearest project's, else the user's own."""
    if given == "":
        raise Invalid("the name of the store is empty", "name a file or a URL with --db, or leave it out")
    if given:
        return given
    if from_environment := os.environ.get("QUEUECTL_DB"):
        return from_environment
    if local := _nearest_local():
        return local
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(data, "queuectl", LOCAL_NAME)


def _nearest_local() -> str | None:
    """The nearest `queuectl.db` in this folder or above, or the place of a removed one, whose folder is still there.

    Refuses a file that another user could write.
    """
    try:
        folder = os.getcwd()
    except FileNotFoundError:
        return None
    while True:
        path = os.path.join(folder, LOCAL_NAME)
        if found := _stat(path) or _stat(os.path.join(folder, f".{LOCAL_NAME}.d")):
            _refuse_others(path, found)
            return path
        if folder == (folder := os.path.dirname(folder)):
            return None


def _refuse_others(path: str, found: os.stat_result) -> None:
    if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StoreUnavailable(
            f"{path} belongs to another user, or others can write it",
            f"if you trust it, name it: --db {path}; else: chmod go-w {path}",
        )


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return None


def open_store(given: str | None = None) -> Store:
    """Opens the store, and makes it if it does not exist. Raises `StoreUnavailable`, also if it has moved."""
    return _unless_moved(_open(locate_store(given)))


def open_existing(given: str | None = None) -> Store:
    """Opens the store for a command that makes none: if there is none, an empty store in memory.

    Raises `StoreUnavailable`, also if the store was named but never existed.
    """
    url = locate_store(given)
    path = os.path.abspath(os.path.expanduser(url))
    if is_server(url) or os.path.exists(path):
        return _unless_moved(_open(url, make=False))
    from queuectl.store.sqlite.connection import folder_of
    from queuectl.store.sqlite.store import SqliteStore

    if (given or os.environ.get("QUEUECTL_DB")) and not os.path.isdir(folder_of(os.path.realpath(path))):
        raise no_store(path)
    return SqliteStore(path, make=False)


def _unless_moved(store: SqliteStore | PostgresStore) -> Store:
    if place := store.moved_to():
        store.close()
        raise Moved(store.url, place)
    return store


def _open(url: str, make: bool = True) -> SqliteStore | PostgresStore:
    if is_server(url):
        return _open_postgres(url, make)
    from queuectl.store.sqlite.store import SqliteStore

    return SqliteStore(os.path.expanduser(url))


def prepare_target(url: str) -> tuple[str, Path]:
    """Makes the target store of a copy if it is missing. Returns its address and its folder here."""
    store = _open(url)
    store.bring_up_to_date()
    store.close()
    return store.url, store.folder


def open_archive(url: str) -> Archive:
    """An existing store, as rows."""
    if is_server(url):
        from queuectl.store.postgres.archive import PostgresArchive

        return PostgresArchive(url)
    from queuectl.store.sqlite.archive import SqliteArchive

    return SqliteArchive(os.path.realpath(os.path.expanduser(url)))


def is_server(url: str) -> bool:
    """Whether the address is a database server, not a file. Raises `Invalid` if it is neither."""
    if CONNECTION_STRING.match(url):
        raise Invalid("a connection string is not the address of a store", f"write it as: {_as_url(url)}")
    kind, separator, _ = url.partition("://")
    if separator and kind not in ("postgresql", "postgres"):
        raise Invalid(f"unknown kind of store {kind}://", "give the path of an SQLite file, or postgresql://…")
    return bool(separator)


def _as_url(words: str) -> str:
    with _needing_psycopg():
        from queuectl.store.postgres.address import url_of_words
    return url_of_words(words)


def shown(url: str) -> str:
    """A store's address for people: without a password."""
    if not is_server(url):
        return url
    with _needing_psycopg():
        from queuectl.store.postgres.address import parse_address
    return parse_address(url).shown


@contextmanager
def _needing_psycopg() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise OperationFailed(
            f"cannot load the library psycopg, which PostgreSQL needs: {error}",
            "in the checkout: pip install -e '.[postgres]', or: pip install 'psycopg[binary]'",
        ) from None


def _open_postgres(url: str, make: bool = True) -> PostgresStore:
    with _needing_psycopg():
        from pathlib import Path

        from queuectl.store.postgres.store import PostgresStore
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return PostgresStore(url, Path(state, "queuectl"), make=make)


# --- workers --------------------------------------------------------------------------------

DISPATCHER_BUSY_TIMEOUT_S = 0.2
SLOTS_MAX = 4096
SUPERVISORS_MAX, SLOTS_A_SUPERVISOR = 4, 4
"""Supervisors mostly wait for the kernel to start commands: more than cores do not help, nor two for few slots."""
DEFAULT_POLL_S = 5.0


class WorkerOptions(NamedTuple):
    """How to start a worker. No queues: all. `poll` None: the default."""

    db: str | None = None
    slots: int = 1
    queues: tuple[str, ...] = ()
    poll: float | None = None
    drain: bool = False
    name: str | None = None
    stop_timeout: float | None = None


def run_worker(options: WorkerOptions, on_started: Callable[[str, int], None], echo: Callable[[str], None]) -> int:
    """Runs a worker in this process until it is stopped. Returns the exit code.

    `on_started(name, slots)` is called once it serves; `echo` gets every line of its log. If the store is removed or
    replaced, it ends the old store's commands and serves the new one.
    """
    from queuectl import ids
    from queuectl.engine.dispatch.dispatcher import MustReopen

    if not 1 <= options.slots <= SLOTS_MAX:
        raise Invalid(f"--count must be from 1 to {SLOTS_MAX}, not {options.slots}")
    _refuse_without_files(options.slots)
    url = locate_store(options.db)
    name = options.name or default_name(os.uname().nodename, ids.random_id(4))
    is_back = False
    while True:
        with suppress(MustReopen):
            return _serve(url, name, options, on_started, echo, is_back=is_back)
        if not is_server(url) and not os.path.isdir(os.path.dirname(os.path.abspath(url))):
            raise StoreUnavailable(f"the folder of the store {url} is gone", "start a worker where the store is now")
        on_started, is_back = _say_nothing, True


NAME_LENGTH_MAX = 64


def default_name(host: str, suffix: str) -> str:
    """The default name of a worker: its host's name, cut and changed to be valid, and `suffix`."""
    from re import sub

    kept = sub(r"[^A-Za-z0-9._-]", "-", host.partition(".")[0]).lstrip("._-")
    return f"{kept[: NAME_LENGTH_MAX - len(suffix) - 1] or 'worker'}-{suffix}"


def _refuse_without_files(slots: int) -> None:
    """Refuses more slots than open files allow: a supervisor has a pipe and a file open for each slot."""
    from queuectl.engine.supervise import descriptors

    needed, allowed = descriptors.needed(-(-slots // _supervisors(slots))), descriptors.could_open_max()
    if needed > allowed:
        raise Invalid(
            f"--count {slots} needs {needed} open files in a process; {allowed} are allowed here",
            f"ulimit -n {2 * needed}",
        )


def _say_nothing(_name: str, _slots: int) -> None:
    pass


def _serve(
    url: str,
    name: str,
    options: WorkerOptions,
    on_started: Callable[[str, int], None],
    echo: Callable[[str], None],
    *,
    is_back: bool,
) -> int:
    """`is_back`: the store is opened again, and supervisors that this process started may live on."""
    import queuectl
    from queuectl.clock import SystemClock
    from queuectl.engine.dispatch.crew import Options
    from queuectl.engine.dispatch.dispatcher import Dispatcher, MustReopen
    from queuectl.engine.dispatch.host import Host
    from queuectl.engine.dispatch.loop import Loop
    from queuectl.engine.dispatch.wakeup import wakeup_for
    from queuectl.engine.happenings import WorkerCrashed
    from queuectl.engine.lease import answer_within_s
    from queuectl.engine.log import Log
    from queuectl.settings import Settings

    store = open_store(url)
    try:
        _refuse_untrusted(store)
        if not is_back:
            _refuse_taken(store, name)
        plan = Options(
            name=name, slots=options.slots, queues=options.queues, drain=options.drain,
            poll=DEFAULT_POLL_S if options.poll is None else options.poll, stop_timeout=options.stop_timeout,
            supervisors=_supervisors(options.slots), version=queuectl.__version__,
        )  # fmt: skip
        clock, wakeup = SystemClock(), wakeup_for(store)
        log = Log(log_path(store, name), clock, echo)
        dispatcher = Dispatcher(store, plan, clock, Host(store.folder), wakeup, log)
        loop = Loop(dispatcher, wakeup)
        try:
            dispatcher.start()
            store.guard()
            patience_s = answer_within_s(Settings(store.config())["lease-ttl"])
            store.wait_at_most(DISPATCHER_BUSY_TIMEOUT_S, patience_s)  # from now on its loop tries again
            on_started(name, options.slots)
            return loop.run()
        except Exception as error:
            if not isinstance(error, (QueuectlError, MustReopen)):  # a detached worker has only its log
                log(WorkerCrashed(what=_described(error)))
            raise
        finally:
            dispatcher.close()
            loop.close()
    finally:
        store.close()


def _described(error: Exception) -> str:
    """An unexpected error and its place in the code, on one line."""
    from traceback import extract_tb

    at = extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({os.path.basename(at.filename)}, line {at.lineno}, in {at.name})"


def _refuse_taken(store: Store, name: str) -> None:
    """Refuses the name of a live worker. A worker of which only supervisors are left does not count."""
    from queuectl.domain.condition import Condition
    from queuectl.engine.dispatch.condition import condition_of

    for row in store.workers():
        if row.name == name and store.alive(row):
            condition = condition_of(row, store.folder)
            if condition is Condition.SUSPENDED:
                raise Conflict(f"a worker named {name} is suspended", f"kill -CONT {row.dispatcher}")
            if condition is not Condition.ORPHANED:
                raise Conflict(f"a worker named {name} is running", "choose another --name, or stop that one first")


def _supervisors(slots: int) -> int:
    return min(-(-slots // SLOTS_A_SUPERVISOR), os.cpu_count() or 1, SUPERVISORS_MAX)


def log_path(store: Store, name: str) -> Path:
    """The log file of a worker of this host."""
    return store.folder / "logs" / f"{name}.log"


def logged(store: Store) -> list[str]:
    """Names of the workers of this host that have a log, latest log first."""
    written = {path.stem: path.stat().st_mtime for path in (store.folder / "logs").glob("*.log")}
    return sorted(written, key=lambda name: -written[name])


def _refuse_untrusted(store: Store) -> None:
    """Refuses to run as root on a store that others can write: they could run commands as root."""
    from queuectl.store.sqlite.connection import refuse_foreign

    path = store.url
    if is_server(path):
        store.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # the server decides who may write the store
    refuse_foreign(str(store.folder), path)
    found = _stat(path)
    if os.getuid() == 0 and found and (found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        raise StoreUnavailable(
            f"{path} is writable for others than root, who could run commands as root",
            f"run the worker as its owner, or: chown root {path} && chmod 600 {path}",
        )


# --- reset ----------------------------------------------------------------------------------


def reset_store(given: str | None) -> str | None:
    """Removes a store with all its jobs. Returns its path, or None if there was none. Live workers end their commands
    and go on with a new store. Raises `StoreUnavailable` if the file is not a queuectl store."""
    import shutil

    from queuectl.store.sqlite.connection import folder_of, is_ours

    url = locate_store(given)
    if is_server(url):
        store = _open_postgres(url)
        store.reset()
        store.close()
        return store.url
    path = os.path.abspath(os.path.expanduser(url))
    if os.path.isdir(path):
        raise StoreUnavailable(f"{path} is a folder, not a queuectl store", "name a file with --db")
    logs = os.path.join(folder_of(path), "logs")
    files = [path + suffix for suffix in ("", "-wal", "-shm")]
    if not any(map(os.path.lexists, (*files, logs))):
        return None
    if not is_ours(path):
        raise StoreUnavailable(f"{path} is not a queuectl store", "name another file with --db")
    for file in files:
        with suppress(FileNotFoundError):
            os.unlink(file)
    shutil.rmtree(logs, ignore_errors=True)
    return path
