"""The part of a client that needs the open store: for the command line and the server, not over HTTP."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress

from queuectl import places
from queuectl.client import looking
from queuectl.client.tables import Tables
from queuectl.domain.errors import Invalid, StoreBusy
from queuectl.domain.selector import ALL_JOBS, Selector
from queuectl.typed import TYPE_CHECKING, Any
from queuectl.wire.times import format_second

if TYPE_CHECKING:
    from pathlib import Path
    from typing import IO

    from queuectl.client.accounting import Used
    from queuectl.client.backups import Saved
    from queuectl.client.exchanging import Taken
    from queuectl.client.figures import Counted, Figures
    from queuectl.client.following import Follower, Piece
    from queuectl.client.news import Watching
    from queuectl.client.overview import Overview
    from queuectl.client.schedule_views import ScheduleView
    from queuectl.client.selecting import Selected
    from queuectl.client.values import Explanation, Progress, WorkerView
    from queuectl.client.waiting import Patience
    from queuectl.domain.finding import Finding
    from queuectl.domain.job import Job
    from queuectl.domain.token import Token
    from queuectl.engine.dispatch.guardian import Guardian
    from queuectl.store.past import News, Place
    from queuectl.store.port import Store
    from queuectl.store.selections import Refs


def login_name() -> str:
    """The login name, or the user's number if it has none."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


class Here(Tables):
    """An open store for one thread, and its user."""

    def __init__(self, store: Store, who: str | None = None, *, drives_orphans: bool = True) -> None:
        """`drives_orphans`: a cancel ends what only an orphaned supervisor of this machine runs; else a worker does."""
        self._store = store
        self.who = who or login_name()
        self._drives_orphans = drives_orphans

    @property
    def store(self) -> Store:
        """The open store. Only the package `client` uses it."""
        return self._store

    def close(self) -> None:
        self.store.close()

    @property
    def url(self) -> str:
        """The store's address for people, without a password."""
        return self._store.url

    @property
    def address(self) -> str:
        """The address that opens the same store; it may contain a password."""
        return self.store.address

    def now(self) -> float:
        """The store's time."""
        return self.store.now()

    def is_outdated(self) -> bool:
        """Whether the store's file was removed or replaced, or it has moved, so that it must be opened again."""
        return bool((not self.store.shared_by_machines and self.store.replaced()) or self.store.moved_to())

    def refuse_moved(self) -> None:
        """Raises `StoreLost` if the store has moved: it refuses changes by itself, but shows what was there."""
        places.refuse_moved(self.store)

    def prove(self) -> None:
        """Raises `StoreUnavailable` if the store does not answer or cannot be written."""
        self.store.counts()
        with suppress(StoreBusy):  # another writer: the store works
            self.store.try_write()

    def note(self, kind: str, detail: str) -> None:
        """Adds an entry to the audit log, for actions that no job's history shows."""
        from queuectl.client.acting import note

        note(self.store, self.who, kind, detail)

    # --- look -------------------------------------------------------------------------------

    def selected(
        self, selector: Selector, concerns: Callable[[Job], bool] | None = None, latest: int | None = None
    ) -> Selected:
        """The jobs of a selection, or those of them that an act `concerns`, to go through however many they are."""
        from queuectl.client.selecting import Selected

        return Selected(self.store, selector, concerns, latest)

    def there(self, refs: Refs) -> list[Job]:
        """Those of the jobs that exist."""
        return looking.there(self.store, refs)

    def explanations(self, jobs: Sequence[Job], time: Callable[[float], str] = format_second) -> list[Explanation]:
        """Explains each job in full, with times as `time` tells them; see `explain`."""
        from queuectl.client.explaining import explanations

        return explanations(self.store, jobs, time)

    def charted(
        self, window_s: float, stretches: int, counted: Counted, spans_max: int, queue: str | None = None,
        times: bool = False,
    ) -> Figures:  # fmt: skip
        """Figures (of one queue) in stretches from full minutes or hours on, with the times of each if asked for.

        `counted` is of the same chart. Percentiles are of at most `spans_max` executions.
        """
        from queuectl.client import figures

        found = figures.figures(self.store, window_s, stretches, spans_max, counted, queue)
        return figures.with_times(self.store, found, queue) if times else found

    def watch(self, place: Place | None = None, say: Callable[[str], None] | None = None) -> Watching:
        """A reader of news from now on, or after `place`. The caller closes it. `say` is told if the store is away."""
        from queuectl.client.news import Watching

        return Watching(self.store, place, say)

    def place(self) -> Place:
        """The place of the latest news."""
        return self.store.place()

    def overview(self) -> Overview:
        """Everything at a glance; see overview.py."""
        from queuectl.client.overview import overview

        return overview(self.store)

    def events(self, window_s: float, most: int) -> tuple[list[News], bool]:
        """What happened in the last `window_s` seconds, at most the latest `most`; and whether there is more."""
        from queuectl.client.news import latest

        return latest(self.store, window_s, most)

    def report(
        self, selector: Selector = ALL_JOBS, *, by_job: bool = False, since: float | None = None
    ) -> Iterator[Used]:
        """What executions of matching jobs have used, one each or with `by_job` a job each; see accounting.py."""
        from queuectl.client.accounting import used

        return used(self.store, selector, by_job=by_job, since=since)

    def add_paused(self, schedules: Sequence[Mapping[str, Any]]) -> list[ScheduleView]:
        """Adds schedules, paused, all or none; each has the arguments of `add_schedule`."""
        from queuectl.client.importing import add_all

        return add_all(self.store, self.who, schedules)

    # --- output -----------------------------------------------------------------------------

    def pieces(self, job: Job, attempt: int | None, stream: int | None, tail: int | None) -> Iterator[Piece]:
        """The output so far of an attempt (None: the latest), by stream; see `Client.output`."""
        from queuectl.client import following

        return following.read(self.store, job, attempt, stream, tail)

    def written(self, follower: Follower, job: Job) -> Iterator[Piece]:
        """A job's output since the follower's last call."""
        return follower.news(self.store, job)

    def last_lines(self, job: Job) -> str:
        """The last lines of the latest attempt's output."""
        from queuectl.client import following

        return following.tail(self.store, job)

    # --- workers ----------------------------------------------------------------------------

    def driving(self, workers: Collection[WorkerView], *, now: bool) -> AbstractContextManager[Guardian]:
        """Drives orphaned workers of this machine, so that they stop: gracefully, or `now`."""
        from queuectl.engine.dispatch.guardian import guarding
        from queuectl.engine.dispatch.stopping import GRACEFUL, NOW

        return guarding(self.store, [row for worker in workers for row in worker.rows], NOW if now else GRACEFUL)

    def logged(self) -> list[str]:
        """Names of the workers of this host that have a log, latest log first."""
        return places.logged(self.store)

    def log_path(self, worker: str) -> Path:
        """The log file of a worker of this host."""
        return places.log_path(self.store, worker)

    # --- upkeep -----------------------------------------------------------------------------

    def out_of_order(self) -> list[Finding]:
        """Findings about a store that cannot be written or lacks room, and workers that seem not to reach it."""
        from queuectl.client import doctor

        return list(doctor.out_of_order(self.store))

    def hooks_given_up(self) -> int:
        """How many hooks have failed each of their tries."""
        return self.store.hooks_given_up()

    def findings(self, within_s: float) -> list[Finding]:
        """Findings about schedules, hooks that gave up within this many seconds, and those that no worker runs."""
        from queuectl.client.findings import of_hooks, of_schedules

        return [*of_schedules(self.store), *of_hooks(self.store, self.now() - within_s)]

    def clean_up(self) -> list[str]:
        """Cleans up after dead workers. Returns a line for each."""
        from queuectl.client import doctor

        return doctor.clean_up(self.store)

    def backup(self, path: str | os.PathLike[str], *, replace: bool = False, progress: Progress | None = None) -> Saved:
        """Writes everything into one file, as of this moment, while workers go on. Raises `Conflict` if it is there,
        unless `replace`."""
        from queuectl.client import backups

        return backups.backup(self.store, os.fspath(path), replace=replace, progress=progress)

    def export(self, selector: Selector, out: IO[str], progress: Progress | None = None) -> int:
        """Writes matching jobs as JSON, a line each. Returns how many."""
        from queuectl.client import exchanging

        return exchanging.export(self.store, selector, out, progress)

    def take_in(self, taken: Taken, progress: Progress | None = None) -> int:
        """Adds exported jobs as they were, all or none. Returns how many. Raises `Conflict`, `NotFound`."""
        from queuectl.client import exchanging

        return exchanging.take_in(self.store, self.who, taken, progress)

    def import_jobs(self, file: IO[bytes], name: str = "the file") -> int:
        """Reads exported jobs and adds them in the same way. Raises `Invalid`, too."""
        from queuectl.client import exchanging

        return self.take_in(exchanging.read(file, name, self.now()))

    def file(self) -> str:
        """The store's file, for shrinking. Raises `Invalid` if there is none."""
        from queuectl.store.sqlite.store import SqliteStore

        store = self.store
        if not isinstance(store, SqliteStore):
            raise Invalid("--shrink is for a file", "a server's tables shrink by VACUUM FULL, run by their owner")
        return store.path

    def migrate(self) -> tuple[int, int]:
        """Brings the schema up to date, as the first change would; its version before, and now. Workers go on."""
        before = self.store.schema_version()
        self.store.bring_up_to_date()
        return before, self.store.schema_version()

    def shrink(self, patience_s: float) -> int:
        """Shrinks the file. Returns by how many bytes."""
        from queuectl.store.sqlite.connection import shrink

        return shrink(self.file(), patience_s)

    # --- tokens -----------------------------------------------------------------------------

    def admit(self, text: str) -> Token | None:
        """The token with this text, or None. Notes its use."""
        from queuectl.client import tokens

        return tokens.admit(self.store, text)

    def admit_id(self, token_id: str) -> Token | None:
        """The token with this id, for a session of its holder, or None. Notes its use."""
        from queuectl.client import tokens

        return tokens.admit_id(self.store, token_id)

    def session_key(self) -> bytes:
        """The key by which servers of this store on this machine sign sessions."""
        from queuectl.client import tokens

        return tokens.session_key(self.store)

    def own_token(self) -> str:
        """This machine's own token."""
        from queuectl.client import tokens

        return tokens.own_token(self.store, self.who)


def patience_of(client: Here, say: Callable[[str], None]) -> Patience:
    """For commands that look at a client's store again and again; `say` is told if it is away."""
    from queuectl.client.waiting import Patience

    return Patience(client.store, say)
