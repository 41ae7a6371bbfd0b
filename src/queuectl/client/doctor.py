"""Checks a store and its machine: each finding has a fix. Cleans up after dead workers."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from shlex import quote
from typing import TypeVar

from queuectl.client.findings import of_all_schedules, of_hooks
from queuectl.domain.condition import Condition, finding
from queuectl.domain.errors import QueuectlError
from queuectl.domain.finding import NOTE, OK, PROBLEM, WARNING, Finding
from queuectl.domain.proposed import named
from queuectl.engine.dispatch import remains
from queuectl.engine.dispatch.condition import condition_of
from queuectl.engine.dispatch.guardian import settle_dead
from queuectl.engine.log import sentence
from queuectl.engine.supervise.trees import names_of
from queuectl.places import is_server, locate_store, open_store
from queuectl.settings import Settings
from queuectl.store.liveness import workers_folder
from queuectl.store.port import Store
from queuectl.store.values import WorkerRow

K = TypeVar("K")
CLEAN = "queuectl doctor --clean"
PAUSED_LONG_S = 7 * 86400.0
DISK_FREE_BYTES_MIN = 100 << 20


def examine(given: str | None) -> list[Finding]:
    """All findings about a store (`given` as in `locate_store`). Makes no store."""
    return list(_examined(given))


def _examined(given: str | None) -> Iterator[Finding]:
    """The same; a check that fails ends it with the error's own code."""
    try:
        yield from _examine(given)
    except QueuectlError as error:
        yield Finding(PROBLEM, error.code, error.message, error.hint)


def _examine(given: str | None) -> Iterator[Finding]:
    url = locate_store(given)
    if is_server(url):
        yield from _server(url)
        return
    path = Path(os.path.abspath(os.path.expanduser(url)))
    yield _library()
    if not path.exists():
        yield from _without_store(path)
        return
    yield from _rights(path)
    yield _disk(path.resolve().parent)
    with closing(open_store(given)) as store:
        yield from _store(store)


def _library() -> Finding:
    from queuectl.store.sqlite.connection import library_is_safe, library_version

    version = library_version()
    if library_is_safe():
        return Finding(OK, "sqlite_library", f"SQLite {version}")
    what = f"SQLite {version} can, very rarely, damage a store that several processes write"
    fix = "install a newer SQLite into queuectl's Python: pip install pysqlite3"
    return Finding(WARNING, "sqlite_library_old", what, fix)


def _without_store(path: Path) -> Iterator[Finding]:
    yield Finding(NOTE, "store_absent", f"there is no store at {path} yet; it is made at first use")
    parent = next(folder for folder in path.parents if folder.exists())
    if not os.access(parent, os.W_OK | os.X_OK):
        fix = f"chmod u+wx {quote(str(parent))}, or name another place with --db"
        yield Finding(PROBLEM, "folder_not_writable", f"the folder {parent} cannot be written", fix)
    for suffix in ("-wal", "-shm"):
        left = path.with_name(path.name + suffix)
        if left.exists():
            what = f"{left} is left from a store that was removed; the next store made here removes it"
            yield Finding(NOTE, "leftover_store_file", what, f"or now: rm {quote(str(left))}")


def _rights(path: Path) -> Iterator[Finding]:
    """Checks that only the owner can use the store, and that this user can write it."""
    found = path.stat()
    if found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        what = f"{path} can be used by others (mode {stat.S_IMODE(found.st_mode):04o}); they can run commands"
        yield Finding(WARNING, "store_open_to_others", what, f"chmod 600 {quote(str(path))}")
    if found.st_uid != os.geteuid():
        what = f"{path} belongs to another user"
        yield Finding(WARNING, "store_of_another_user", what, "use the owner's account, or --db")
    for place in (path, path.parent):
        if not os.access(place, os.W_OK):
            fix = f"chmod u+w {quote(str(place))}"
            if os.statvfs(place).f_flag & os.ST_RDONLY:
                fix = "its disk is mounted read-only: remount it, or name another place with --db"
            yield Finding(PROBLEM, "store_not_writable", f"{place} cannot be written", fix)
    parent = path.parent.stat()
    if parent.st_mode & stat.S_IWOTH and not parent.st_mode & stat.S_ISVTX:
        what = f"anyone can replace {path}: the folder {path.parent} is writable by all"
        yield Finding(PROBLEM, "store_replaceable", what, f"chmod o-w {quote(str(path.parent))}")


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    amount = f"{free / (1 << 30):.1f} GiB" if free >= 1 << 30 else f"{free >> 20} MiB"
    text = f"{amount} free in {folder}"
    if free < DISK_FREE_BYTES_MIN:
        fix = "free some space, e.g. with: queuectl prune --older-than 30d"
        return Finding(PROBLEM, "disk_full", f"only {text}", fix)
    return Finding(OK, "disk_space", text)


def out_of_order(store: Store) -> Iterator[Finding]:
    """What keeps workers from recording. On a full disk they may be unable to though a small write still succeeds."""
    yield from unwritable(store)
    if not store.shared_by_machines and (disk := _disk(Path(store.url).resolve().parent)).level == PROBLEM:
        yield disk
    yield from out_of_touch(store)


def _server(url: str) -> Iterator[Finding]:
    """Checks a store in a database server. Opening it makes missing tables, as in every command."""
    from queuectl.client.doctor_server import judged
    from queuectl.store.postgres.store import PostgresStore

    with closing(open_store(url)) as store:
        assert isinstance(store, PostgresStore)
        yield from judged(store.url, store.health())
        yield from unwritable(store)
        yield from _contents(store)
        yield from out_of_touch(store)


def unwritable(store: Store) -> Iterator[Finding]:
    """Finds a store that cannot be written, even if it can be read."""
    try:
        store.try_write()
    except QueuectlError as error:
        yield Finding(PROBLEM, "store_unwritable", error.message, error.hint)


def out_of_touch(store: Store) -> Iterator[Finding]:
    """Finds workers that have not renewed their lease for half its time, and hold jobs or live here."""
    if not store.shared_by_machines:
        return
    rows = [row for row in store.workers() if store.is_at_home(row)]
    seen, ttl_s = store.seen([row.id for row in rows]), Settings(store.config(), store.defaults)["lease-ttl"]
    kept = {row.id for row in store.living(rows)} | {job.worker for job in store.running(*(row.id for row in rows))}
    silent_s = {row.name: store.now() - seen[row.id] for row in rows if row.id in kept}
    for name, seconds in silent_s.items():
        if seconds > ttl_s / 2:
            over = f"; it expired {seconds - ttl_s:.0f}s ago" if seconds > ttl_s else ""
            what = f"worker {name} has not renewed its lease for {seconds:.0f}s{over}"
            fix = f"it cannot reach the store, is suspended, or is gone; on its host: queuectl worker logs {name}"
            yield Finding(WARNING, "worker_out_of_touch", what, fix)


def _store(store: Store) -> Iterator[Finding]:
    from queuectl.store.sqlite.store import SqliteStore

    if isinstance(store, SqliteStore):
        if wrong := store.integrity():
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            what = f"{store.url} is damaged: {wrong[0]}{more}"
            fix = "stop all workers and put a backup in place, see docs/restoring.md; or: queuectl reset"
            yield Finding(PROBLEM, "store_damaged", what, fix)
        else:
            what = f"{store.url} is sound, schema {store.schema_version()}"
            yield Finding(OK, "store_sound", what)
        yield from _log(store.path)
    yield from _contents(store)


def _contents(store: Store) -> Iterator[Finding]:
    """Checks what is in a store of either kind."""
    yield from _limits(store)
    yield from of_all_schedules(store)
    yield from of_hooks(store)
    yield from _workers(store)


def _limits(store: Store) -> Iterator[Finding]:
    """Finds queues that somebody may have forgotten to resume, and jobs that need more of a lock than there is."""
    from queuectl.client import locks
    from queuectl.wire.limits import pause_words, units_missing

    for queue in store.queues():
        if queue.pause and queue.pause.until is None and store.now() - queue.pause.since > PAUSED_LONG_S:
            what = f"queue {queue.name} is {pause_words(queue.pause)}"
            yield Finding(WARNING, "queue_paused_long", what, f"queuectl queue resume {named(queue.name)}")
    for lock in locks.views(store, ""):
        if lock.needed > lock.capacity:
            error = units_missing("a job", lock.name, lock.units, lock.needed)
            yield Finding(PROBLEM, "lock_too_small", f"{error.message}, and never starts", error.hint)


def _log(path: str) -> Iterator[Finding]:
    """Finds a large log, with the process whose transaction is open, and logs that were set aside."""
    from queuectl.store.sqlite import fileset, wal
    from queuectl.store.sqlite.connection import folder_of

    if (size := wal.size(path)) > wal.LIMIT_BYTES:
        pids = wal.readers(path)
        names = names_of(pids)
        what = f"{path}-wal has grown to {size >> 20} MiB"
        what += f" while a transaction is open in process {names}" if pids else ""
        fix = f"end it: kill {' '.join(map(str, pids))}" if pids else "it shrinks by itself as the store is used"
        yield Finding(WARNING if pids else NOTE, "log_large", what, fix)
    for left in sorted(Path(folder_of(path)).glob(f"{fileset.SET_ASIDE}*")):
        what = f"{left} is the log of an earlier file that was replaced by this store"
        yield Finding(NOTE, "log_set_aside", what, f"if nothing is missing: rm {quote(str(left))}")


def _workers(store: Store) -> Iterator[Finding]:
    """Finds live workers, and what dead ones left in the store and on disk."""
    rows = store.workers()
    yield from remains.platform()
    yield from remains.unable(store.folder)
    alive = {row: condition_of(row, store.folder) for row in store.living(rows)}
    names = sorted({row.name for row, condition in alive.items() if condition is not Condition.ORPHANED})
    message = f"live workers: {', '.join(names)}" if names else "no live worker"
    yield Finding(OK, "workers_live", message)
    for (name, dispatcher, condition), held in _held_by(store, alive, lambda row: (*_who(row), alive[row])):
        if condition is not None and (told := finding(name, condition, dispatcher, held)):
            yield told
    at_home = [row for row in rows if store.is_at_home(row)]
    for (name, _), held in _held_by(store, [row for row in rows if row not in at_home], _who):
        yield _of_original(name, held)
    for (name, _), held in _held_by(store, [row for row in at_home if row not in alive], _who):
        yield _dead(name, held)
    yield from remains.processes(store.folder, at_home, alive, CLEAN)
    yield from _folders(store, {row.id for row in rows})


def _who(row: WorkerRow) -> tuple[str, int]:
    """The worker that a supervisor is of."""
    return row.name, row.dispatcher


def _held_by(store: Store, rows: Iterable[WorkerRow], key: Callable[[WorkerRow], K]) -> Iterable[tuple[K, list[str]]]:
    """The jobs in hand of supervisors that are alike: one worker may have several."""
    keys = {row.id: key(row) for row in rows}
    held: dict[K, list[str]] = {each: [] for each in keys.values()}
    for job in store.running(*keys):
        held[keys[str(job.worker)]].append(job.id)
    return held.items()


def _of_original(name: str, held: list[str]) -> Finding:
    """The finding about a worker of the store from which this one was copied; it may live there."""
    what = f"this store is a copy: worker {name} belongs to the original, and is left alone"
    if held:
        what += f"; here {', '.join(held)} will be given back"
    fix = f"the next worker that starts here does, or: {CLEAN}"
    return Finding(NOTE, "worker_of_original", what, fix)


def _dead(name: str, held: list[str]) -> Finding:
    """The finding about a dead worker that is still in the store."""
    what = f"worker {name} is dead but still listed"
    if held:
        what, fix = f"{what} and holds {', '.join(held)}", f"start a worker to settle them, or: {CLEAN}"
        return Finding(PROBLEM, "worker_dead_with_jobs", what, fix)
    return Finding(NOTE, "worker_dead", what, f"the next worker that starts cleans up, or: {CLEAN}")


def _folders(store: Store, known: set[str]) -> Iterator[Finding]:
    folder = workers_folder(store.folder)
    left = sorted(path for path in folder.iterdir() if path.name not in known) if folder.is_dir() else []
    for path in left:
        what = f"{path} is left by a dead worker"
        fix = f"the next worker that starts cleans up, or: {CLEAN}"
        yield Finding(NOTE, "folder_left", what, fix)


def clean_up(store: Store) -> list[str]:
    """Cleans up after dead workers (see `settle_dead`). Returns a line for each."""
    return [sentence(settled.happenings()[-1]) for settled in settle_dead(store)]
