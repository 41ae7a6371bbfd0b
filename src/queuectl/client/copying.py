"""Copies a store to another one, SQLite or PostgreSQL: jobs, history, outputs and settings.

The source's workers stop first, and nobody writes to either store while rows are copied. The copy is read back and
compared before it is committed; only then the source gets its pointer. A copy that fails changes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from shlex import quote

from queuectl import places
from queuectl.client.facade import Client
from queuectl.client.placing import replaced
from queuectl.client.values import Progress
from queuectl.client.workers import stopping_first, workers_of
from queuectl.domain.errors import Conflict, Invalid, OperationFailed
from queuectl.domain.job import JobState
from queuectl.store.shared.archive import TABLES, Archive, copy_tables
from queuectl.store.values import LEASE_MIN_S, Moved
from queuectl.wire.words import counted

LOOK_EVERY_S = 0.1


def copy(
    source: Client, to: str, *, keep: bool, replace: bool, say: Callable[[str], None], progress: Progress | None
) -> dict[str, int]:
    """Copies everything. Returns the number of rows of each table. The source then points to the copy unless `keep`.

    `replace`: it takes the place of what the target holds. Raises `Conflict` if the target is not empty otherwise, and
    while a worker lives that would lose its store. What fails changes nothing.
    """
    places.refuse_missing(source.address)
    source.store.bring_up_to_date()
    target_url, folder = places.prepare_target(to)
    if folder == source.store.folder:
        raise Invalid(f"{target_url} is the source itself", "name another store with --to")
    _refuse_short_leases(source, to)
    with closing(places.open_archive(to)) as target:
        if not replace and any(target.count(table) for table in TABLES):
            hint = "name another store, or empty this one with --replace"
            raise Conflict(f"the store {target_url} is not empty", hint)
    if replace:
        _refuse_in_use(to)
    stop_workers(source, say)
    with closing(places.open_archive(source.store.address)) as here, here.locked():
        if here.running():
            raise Conflict("a worker has started in between", "copy again")
        with replaced(to) if replace else _there(to) as target:
            copied = copy_tables(here, target, progress)
        if not keep:
            here.move_to(target_url)
    return copied


def _refuse_in_use(to: str) -> None:
    with suppress(Moved), closing(places.open_store(to)) as store:
        if workers := workers_of(store):
            place = places.shown(to)
            told = f"worker {workers[0].name} is running on {place}, whose jobs would be removed"
            raise Conflict(told, stopping_first(workers, f"queuectl --db {quote(place)}"))


@contextmanager
def _there(address: str) -> Iterator[Archive]:
    """The store at this address, to fill in one transaction."""
    with closing(places.open_archive(address)) as target, target.locked():
        yield target


def _refuse_short_leases(source: Client, to: str) -> None:
    """Raises `Conflict` if the source's `lease-ttl` is too short for a server."""
    if places.is_server(to) and (ttl := source.settings()["lease-ttl"]) < LEASE_MIN_S:
        raise Conflict(
            f"lease-ttl is {ttl:g}s, and must be at least {LEASE_MIN_S:g}s on PostgreSQL",
            "first: queuectl config unset lease-ttl",
        )


def stop_workers(source: Client, say: Callable[[str], None]) -> None:
    """Stops all workers once their commands have finished. Raises `OperationFailed` if jobs stay claimed."""
    told = False
    while workers := source.workers():
        if any(not (worker.stopping or worker.orphaned) for worker in workers):
            source.ask_to_stop(None, all_hosts=True)
        if not told:
            running = sum(len(worker.running) for worker in workers)
            first = f"; {counted(running, 'running command')} will finish first" if running else ""
            say(f"stopping {counted(len(workers), 'worker')}{first}")
            told = True
        time.sleep(LOOK_EVERY_S)
    left = sum(jobs for (_, state), jobs in source.store.counts().items() if state is JobState.PROCESSING)
    if left:
        raise OperationFailed(
            f"workers that are gone have claimed {counted(left, 'job')}",
            "let a worker settle them: queuectl worker start; then copy again",
        )
