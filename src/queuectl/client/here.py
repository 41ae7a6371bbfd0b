"""An open store, and what only a process beside it does: the command line and the server, but no program afar."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING

from queuectl.client import acting, looking
from queuectl.client.values import WorkerView
from queuectl.domain.errors import Invalid, StoreBusy
from queuectl.domain.job import Job, JobState
from queuectl.domain.selector import Selector
from queuectl.store.port import Store

if TYPE_CHECKING:
    from pathlib import Path

    from queuectl.client.figures import Figures
    from queuectl.client.following import Follower, Piece
    from queuectl.client.news import Watching
    from queuectl.domain.finding import Finding
    from queuectl.domain.token import Token
    from queuectl.engine.dispatch.guardian import Guardian
    from queuectl.store.past import Place


def login_name() -> str:
    """Who asks: the login name, or the user's number where it has none."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


class Here:
    """One open store, for one thread, and who uses it."""

    def __init__(self, store: Store, who: str | None = None) -> None:
        self._store = store
        self.who = who or login_name()

    @property
    def store(self) -> Store:
        """The open store. Only the rooms of the client use it."""
        return self._store

    def close(self) -> None:
        self.store.close()

    @property
    def url(self) -> str:
        """The store for people to see, without a password."""
        return self.store.url

    @property
    def address(self) -> str:
        """What opens the same store again; it may hold a password."""
        return self.store.address

    def now(self) -> float:
        """The store's time."""
        return self.store.now()

    def is_outdated(self) -> bool:
        """Whether the store's file was removed or replaced, so that it has to be opened again."""
        return not self.store.shared_by_machines and bool(self.store.replaced())

    def prove(self) -> None:
        """Raises `StoreUnavailable` where the store does not answer or cannot be written."""
        self.store.counts()
        with suppress(StoreBusy):  # somebody else writes
            self.store.try_write()

    def note(self, kind: str, detail: str) -> None:
        """Keeps what was done for whoever asks later, where no job shows it."""
        acting.note(self.store, self.who, kind, detail)

    # --- look -------------------------------------------------------------------------------

    def page(
        self, selector: Selector, limit: int, *, newest_first: bool = False, after: int | None = None
    ) -> list[Job]:
        """Matching jobs, those that come after the one with this `seq`."""
        return self.store.find(selector, limit=limit, newest_first=newest_first, after_seq=after)

    def counts(self) -> dict[tuple[str, JobState], int]:
        """Jobs by queue and state."""
        return self.store.counts()

    def known_count(self, selector: Selector) -> int | None:
        """How many jobs match; None where they would have to be counted."""
        return looking.known_count(self.store, selector)

    def next_retries(self, limit: int) -> Sequence[Job]:
        """The failed jobs that run again next."""
        return self.store.backlog(limit).next_retries

    def figures(self, window_s: float, stretches: int, spans_max: int | None = None) -> Figures:
        """What has ended in the last `window_s` seconds. Percentiles are of at most `spans_max` executions."""
        from queuectl.client import figures

        return figures.figures(self.store, window_s, stretches, spans_max or figures.SPANS_MAX)

    def watch(self, place: Place | None = None) -> Watching:
        """What happens from here on, or after `place`. To be closed."""
        from queuectl.client.news import Watching

        return Watching(self.store, place)

    def place(self) -> Place:
        """How far the news have come."""
        return self.store.place()

    # --- output -----------------------------------------------------------------------------

    def pieces(self, job: Job, attempt: int | None, stream: int | None, tail: int | None) -> Iterator[Piece]:
        """What an attempt (None: the latest) has written so far, by stream; see `Client.output`."""
        from queuectl.client import following

        return following.read(self.store, job, attempt, stream, tail)

    def written(self, follower: Follower, job: Job) -> Iterator[Piece]:
        """What a job has written since the follower was last asked."""
        return follower.news(self.store, job)

    def last_lines(self, job: Job) -> str:
        """The last lines of what the job's latest attempt wrote."""
        from queuectl.client import following

        return following.tail(self.store, job)

    # --- workers ----------------------------------------------------------------------------

    def driving(self, workers: Collection[WorkerView], *, now: bool) -> AbstractContextManager[Guardian]:
        """Drives orphaned workers of this machine, so that they stop: gracefully, or `now`."""
        from queuectl.engine.dispatch.dispatcher import GRACEFUL, NOW
        from queuectl.engine.dispatch.guardian import guarding

        return guarding(self.store, [row for worker in workers for row in worker.rows], NOW if now else GRACEFUL)

    def end_orphaned(self, jobs: Sequence[Job]) -> set[str]:
        """Has cancelled jobs ended from here where only supervisors are left of their worker; the ids of those."""
        from queuectl.client.orphaned import end

        return end(self.store, jobs)

    def logged(self) -> list[str]:
        """The workers of this host that have a log, the one that wrote last first."""
        from queuectl import bootstrap

        return bootstrap.logged(self.store)

    def log_path(self, worker: str) -> Path:
        """Where a worker of this host writes its log."""
        from queuectl import bootstrap

        return bootstrap.log_path(self.store, worker)

    # --- upkeep -----------------------------------------------------------------------------

    def out_of_order(self) -> list[Finding]:
        """What is wrong with the store just now, and workers that seem not to reach it."""
        from queuectl.client import doctor

        return [*doctor.unwritable(self.store), *doctor.out_of_touch(self.store)]

    def clean_up(self) -> list[str]:
        """Does at once what the next worker would do after dead ones; a line for each."""
        from queuectl.client import doctor

        return doctor.clean_up(self.store)

    def file(self) -> str:
        """The file that can shrink. Raises `Invalid` where there is none."""
        from queuectl.store.sqlite.store import SqliteStore

        store = self.store
        if not isinstance(store, SqliteStore):
            hint = "a server's tables shrink by VACUUM FULL, run by their owner"
            raise Invalid("--shrink is for a store in a file", hint)
        return store.path

    def shrink(self, patience_s: float) -> int:
        """Gives what the file no longer needs back to the disk; the bytes it has become smaller."""
        from queuectl.store.sqlite.connection import shrink

        return shrink(self.file(), patience_s)

    # --- tokens -----------------------------------------------------------------------------

    def admit(self, text: str) -> Token | None:
        """The token of this text, if it is one; its use is noted."""
        from queuectl.client import tokens

        return tokens.admit(self.store, text)

    def own_token(self) -> str:
        """This machine's own token."""
        from queuectl.client import tokens

        return tokens.own_token(self.store, self.who)
