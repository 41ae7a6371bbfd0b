"""The composition root: from settings to a store, and from a store to a running worker."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from queuectl.domain.errors import Invalid, StoreUnavailable
from queuectl.store.port import Store

LOCAL_NAME = "queuectl.db"


def locate_store(given: str | None) -> str:
    """Which store is meant: `given`, else `$QUEUECTL_DB`, else the nearest project's, else the user's own."""
    if given:
        return given
    if from_environment := os.environ.get("QUEUECTL_DB"):
        return from_environment
    if local := _nearest_local():
        return str(local)
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return os.path.join(data, "queuectl", LOCAL_NAME)


def _nearest_local() -> Path | None:
    """The nearest `queuectl.db` here or above. One that another user could write is refused by name."""
    try:
        here = Path.cwd()
    except FileNotFoundError:
        return None
    for folder in (here, *here.parents):
        path = folder / LOCAL_NAME
        try:
            found = path.stat()
        except (FileNotFoundError, PermissionError, NotADirectoryError):
            continue
        if found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise StoreUnavailable(
                f"{path} belongs to somebody else, or others can write it",
                f"if you trust it, name it: --db {path}; else: chmod go-w {path}",
            )
        return path
    return None


def open_store(given: str | None = None, busy_timeout_s: float | None = None) -> Store:
    """The open store. It is made if it does not exist. Raises `StoreUnavailable`."""
    url = locate_store(given)
    if "://" in url:
        raise Invalid(f"no such kind of store: {url.partition('://')[0]}://", "give the path of an SQLite file")
    from queuectl.store.sqlite import PEOPLE_BUSY_TIMEOUT_S, SqliteStore

    path = Path(os.path.expanduser(url))
    return SqliteStore(path, busy_timeout_s=PEOPLE_BUSY_TIMEOUT_S if busy_timeout_s is None else busy_timeout_s)
