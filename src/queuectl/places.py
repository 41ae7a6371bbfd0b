"""Where stores are: which one is meant, opening it, removing it."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from queuectl.domain.errors import Invalid, NoStore, OperationFailed, StoreUnavailable, no_store
from queuectl.store.values import Moved
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from queuectl.store.port import Store
    from queuectl.store.postgres.store import PostgresStore
    from queuectl.store.shared.archive import Archive
    from queuectl.store.sqlite.store import SqliteStore

LOCAL_NAME = "queuectl.db"
CONNECTION_STRING = frozenset({
    "host", "hostaddr", "port", "dbname", "user", "password", "passfile", "service", "sslmode", "options",
    "connect_timeout", "application_name", "target_session_attrs",
})  # fmt: skip
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
        if found := stat_of(path) or stat_of(os.path.join(folder, f".{LOCAL_NAME}.d")):
            _refuse_others(path, found)
            return path
        if folder == (folder := os.path.dirname(folder)):
            return None


def _refuse_others(path: str, found: os.stat_result) -> None:
    if found.st_uid != os.getuid() or is_writable_by_others(found):
        from shlex import quote

        trusted = f"if you trust it, name it: --db {quote(path)}"
        if found.st_uid != os.getuid():
            raise StoreUnavailable(f"{path} belongs to another user", trusted)
        raise StoreUnavailable(f"others can write {path}", f"{trusted}; else: chmod go-w {quote(path)}")


def stat_of(path: str) -> os.stat_result | None:
    """What a path names; None if nothing that can be reached."""
    try:
        return os.stat(path)
    except (FileNotFoundError, PermissionError, NotADirectoryError):
        return None


def is_writable_by_others(found: os.stat_result) -> bool:
    return bool(found.st_mode & (stat.S_IWGRP | stat.S_IWOTH))


def open_store(given: str | None = None) -> Store:
    """Opens the store, and makes it if it does not exist. Raises `StoreUnavailable`, also if it has moved."""
    return _unless_moved(_open(locate_store(given)))


def open_existing(given: str | None = None) -> Store:
    """Opens the store for a command that makes none: if there is none, an empty store in memory.

    Raises `StoreUnavailable`, also if the store was named but never existed.
    """
    url = locate_store(given)
    path = os.path.abspath(os.path.expanduser(url))
    if not is_server(url) and (given or os.environ.get("QUEUECTL_DB")) and not os.path.exists(path):
        from queuectl.store.sqlite.connection import folder_of

        if not os.path.isdir(folder_of(os.path.realpath(path))):
            raise no_store(path)
    return open_or_empty(given)


def open_or_empty(given: str | None = None) -> Store:
    """Opens the store to see what could be added: if there is none, an empty store in memory, also for a named one."""
    url = locate_store(given)
    path = os.path.abspath(os.path.expanduser(url))
    if is_server(url) or os.path.exists(path):
        return _unless_moved(_open(url, make=False))
    from queuectl.store.sqlite.store import SqliteStore

    return SqliteStore(path, make=False)


def _unless_moved(store: SqliteStore | PostgresStore) -> Store:
    try:
        refuse_moved(store)
    except Moved:
        store.close()
        raise
    return store


def refuse_moved(store: Store) -> None:
    """Raises `Moved` if the jobs of this store are in another one now."""
    if place := store.moved_to():
        raise Moved(store.url, place)


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
    """An existing store, as rows. Raises `StoreUnavailable` if it was never made."""
    refuse_missing(url)
    if is_server(url):
        from queuectl.store.postgres.archive import PostgresArchive

        return PostgresArchive(url)
    from queuectl.store.sqlite.archive import SqliteArchive

    return SqliteArchive(file_of(url))


def refuse_missing(url: str) -> None:
    """Raises `StoreUnavailable` for a file that is not there: its store has never had a job, or is in memory alone."""
    if not is_server(url) and not os.path.exists(path := file_of(url)):
        raise no_store(path)


def file_of(url: str) -> str:
    """The file of a store that is in one, whatever link names it."""
    return os.path.realpath(os.path.expanduser(url))


def is_server(url: str) -> bool:
    """Whether the address is a database server, not a file. Raises `Invalid` if it is neither."""
    if "=" in url and url.partition("=")[0].strip() in CONNECTION_STRING:
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


def log_path(store: Store, name: str) -> Path:
    """The log file of a worker of this host."""
    return store.folder / "logs" / f"{name}.log"


def logged(store: Store) -> list[str]:
    """Names of the workers of this host that have a log, latest log first."""
    written = {path.stem: path.stat().st_mtime for path in (store.folder / "logs").glob("*.log")}
    return sorted(written, key=lambda name: -written[name])


def reset_store(given: str | None) -> str | None:
    """Removes a store with all its jobs. Returns its path, or None if there was none. Links to it stay. Live workers
    end their commands and go on with a new store. Raises `StoreUnavailable` if the file is not a queuectl store."""
    import shutil

    from queuectl.store.sqlite.connection import folder_of, is_ours

    url = locate_store(given)
    if is_server(url):
        try:
            store = _open_postgres(url, make=False)
        except NoStore:
            return None
        store.reset()
        store.close()
        return store.url
    path = file_of(url)
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
