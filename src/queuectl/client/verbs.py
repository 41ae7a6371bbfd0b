"""Use cases that are the same on a store and over HTTP: one typed line each, which names its row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from queuectl.client.schedule_verbs import ScheduleVerbs
from queuectl.client.values import DEEDS, GROUPS, Changed, Explanation, Progress
from queuectl.client.worker_verbs import WorkerVerbs
from queuectl.domain.selector import ALL_JOBS, Selector
from queuectl.typed import TYPE_CHECKING, Any
from queuectl.wire.requests import NOTHING

if TYPE_CHECKING:
    from datetime import datetime

    from queuectl.client.actions import Action
    from queuectl.client.batches import Batch, BatchView
    from queuectl.client.documents import SettingView
    from queuectl.client.figures import Figures
    from queuectl.client.graph import Graph
    from queuectl.client.locks import LockView
    from queuectl.client.queues import QueueView
    from queuectl.domain.token import Token
    from queuectl.store.past import Deed, Group
    from queuectl.wire.keywords import Duration


class Verbs(ScheduleVerbs, WorkerVerbs):
    """Methods of `Client` and `RemoteClient`, which define `do` and `act`."""

    def act(self, action: Action, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Acts on these jobs."""
        raise NotImplementedError

    def _setting(self, changes: Mapping[str, Any]) -> Action:
        """The action that makes these changes of jobs. Raises `Invalid`."""
        raise NotImplementedError

    # --- jobs -------------------------------------------------------------------------------

    def set(
        self, refs: str | Sequence[str], changes: Mapping[str, Any] = NOTHING, *,
        replace: tuple[str, str] | None = None, progress: Progress | None = None,
    ) -> Changed:  # fmt: skip
        """Changes jobs that are not running, by keys such as `{"priority": 5, "timeout": None}`.

        `replace` is a text in the command and the one to put in its place. A job that runs, was claimed meanwhile, or
        has completed is refused. Raises `Invalid`.
        """
        from queuectl.wire.keywords import as_json

        more = {} if replace is None else {"replace": dict(zip(("old", "new"), replace, strict=True))}
        return self.act(self._setting(as_json({**changes, **more})), refs, progress)

    def retry(self, refs: str | Sequence[str], progress: Progress | None = None, *, cascade: bool = False) -> Changed:
        """Runs jobs again: a failed one now, a finished one from the beginning.

        What a job had cancelled by its failure waits for it again. With `cascade`, all that depends on these jobs and
        has finished runs again after them.
        """
        from queuectl.client import actions

        return self.act(actions.RETRY_DOWN if cascade else actions.RETRY, refs, progress)

    def retry_dead(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Moves dead jobs back to their queue with 0 attempts; their history is kept. Others are refused."""
        from queuectl.client import actions

        return self.act(actions.RETRY_DEAD, refs, progress)

    def cancel(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Cancels jobs; the worker of a running one ends its command within a second.

        If only an orphaned supervisor of this machine is left of that worker, this process ends it before it returns.
        Over HTTP, a worker has to.
        """
        from queuectl.client import actions

        return self.act(actions.CANCEL, refs, progress)

    def hold(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Holds jobs: no worker claims them."""
        from queuectl.client import actions

        return self.act(actions.HOLD, refs, progress)

    def release(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Releases held jobs."""
        from queuectl.client import actions

        return self.act(actions.RELEASE, refs, progress)

    def delete(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Deletes jobs with their history and output. Running ones are refused."""
        from queuectl.client import actions

        return self.act(actions.DELETE, refs, progress)

    def purge(self, refs: str | Sequence[str], progress: Progress | None = None) -> Changed:
        """Deletes dead jobs. Others are refused."""
        from queuectl.client import actions

        return self.act(actions.PURGE_DEAD, refs, progress)

    # --- look -------------------------------------------------------------------------------

    def explain(self, ref: str) -> Explanation:
        """Why a job is not running: every closed gate, and when it is likely to start."""
        from queuectl.client import explaining

        return self.do(explaining.EXPLAIN, id=ref)

    def graph(self, ref: str) -> Graph:
        """What a job depends on, and what depends on it, over others too."""
        from queuectl.client import graph

        return self.do(graph.SHOW_GRAPH, id=ref)

    # --- history ----------------------------------------------------------------------------

    def stats(self, window: Duration = "1h", stretches: int = 60) -> Figures:
        """Throughput, failures, run and wait times over a window that ends now."""
        from queuectl.client import history

        return self.do(history.STATS, window=window, stretches=stretches)

    def dead_groups(self, selector: Selector = ALL_JOBS, *, limit: int = GROUPS, waiting: bool = False) -> list[Group]:
        """Matching dead jobs by how they failed, largest groups first; with `waiting`, those that wait for a retry
        too."""
        from queuectl.client import history

        return self.do(history.GROUP_DEAD, selector=selector, limit=limit, waiting=waiting)

    def audit(self, *, limit: int = DEEDS, before: int | None = None) -> list[Deed]:
        """The audit log, latest first; with `before`, only entries before that id."""
        from queuectl.client import history

        return self.do(history.AUDIT, limit=limit, before=before)

    # --- batches ----------------------------------------------------------------------------

    def batches(self) -> list[BatchView]:
        """The batches that jobs belong to."""
        from queuectl.client import batches

        return self.do(batches.LIST)

    def batch(self, name: str) -> Batch:
        """A batch, whether it is there yet or not: to look at, to wait for, to cancel, to retry."""
        from queuectl.client.batches import Batch

        return Batch(self, name)

    def wait_batch(self, name: str, *, timeout: Duration | None = None) -> BatchView:
        """Waits until none of a batch's jobs is unfinished. Raises `TimeoutError`, `NotFound`."""
        raise NotImplementedError

    # --- queues, locks ----------------------------------------------------------------------

    def queues(self) -> list[QueueView]:
        """The queues that a job or a setting names."""
        from queuectl.client import queues

        return self.do(queues.LIST)

    def queue(self, name: str) -> QueueView:
        """A queue. Raises `NotFound`."""
        from queuectl.client import queues

        return self.do(queues.SHOW, name=name)

    def set_queue(
        self, name: str, *, concurrency: int | str | None = None, rate: str | None = None,
        max_retries: int | str | None = None, timeout: Duration | None = None, kill_grace: Duration | None = None,
        backoff_base: float | str | None = None, backoff_initial: Duration | None = None,
        backoff_max: Duration | None = None, backoff_jitter: float | str | None = None,
        on_success: str | None = None, on_failure: str | None = None, on_dead: str | None = None,
    ) -> QueueView:  # fmt: skip
        """Sets limits of a queue, and defaults of jobs enqueued from now on. "none" lifts one; None leaves it.

        `rate` is such as "10/s", "100/h" or "5/15m,even". Raises `Invalid`.
        """
        from queuectl.client import queues

        return self.do(
            queues.SET, name=name, concurrency=concurrency, rate=rate, max_retries=max_retries, timeout=timeout,
            kill_grace=kill_grace, backoff_base=backoff_base, backoff_initial=backoff_initial, backoff_max=backoff_max,
            backoff_jitter=backoff_jitter, on_success=on_success, on_failure=on_failure, on_dead=on_dead,
        )  # fmt: skip

    def pause_queues(
        self, names: str | Sequence[str] = (), *, all: bool = False, duration: Duration | None = None,
        until: str | datetime | None = None, reason: str | None = None,
    ) -> list[QueueView]:  # fmt: skip
        """Pauses queues, or all that exist now: none of their jobs starts. Raises `Invalid`."""
        from queuectl.client import queues

        names = [names] if isinstance(names, str) else names
        return self.do(queues.PAUSE_ROW, names=names, all=all, duration=duration, until=until, reason=reason)

    def resume_queues(self, names: str | Sequence[str] = (), *, all: bool = False) -> list[QueueView]:
        """Ends pauses of these queues, or all. Raises `NotFound`."""
        from queuectl.client import queues

        return self.do(queues.RESUME, names=[names] if isinstance(names, str) else names, all=all)

    def locks(self) -> list[LockView]:
        """The locks that somebody has set or that jobs use."""
        from queuectl.client import locks

        return self.do(locks.LIST)

    def lock(self, name: str) -> LockView:
        """A lock. Raises `NotFound`."""
        from queuectl.client import locks

        return self.do(locks.SHOW, name=name)

    def set_lock(
        self, name: str, capacity: int | None = None, *, units: Sequence[str] | None = None, env: str | None = None
    ) -> LockView:
        """Sets how many units a lock has, or their names, and another variable that names them ("none": no other).

        What is not given stays. Raises `Invalid`.
        """
        from queuectl.client import locks

        units = units.split(",") if isinstance(units, str) else units
        return self.do(locks.SET, name=name, capacity=capacity, units=units, env=env)

    def delete_lock(self, name: str) -> None:
        """Forgets what is set for a lock, so that it has one unit. Raises `NotFound`, `Conflict` while it is in use."""
        from queuectl.client import locks

        self.do(locks.DELETE, name=name)

    # --- settings, tokens -------------------------------------------------------------------

    def set_setting(self, name: str, value: str) -> SettingView:
        """Checks and stores a setting. Existing jobs keep theirs."""
        from queuectl.client import config

        return self.do(config.SET, name=name, value=value)

    def unset_setting(self, name: str) -> SettingView:
        """Restores a setting's default."""
        from queuectl.client import config

        return self.do(config.UNSET, name=name)

    def tokens(self) -> list[Token]:
        """The tokens for access over HTTP."""
        from queuectl.client import tokens

        return self.do(tokens.LIST)

    def create_token(self, name: str, role: str = "read-only") -> tuple[Token, str]:
        """Makes a token. Returns it with its text, which is not stored. Raises `Invalid`, `Conflict`."""
        from queuectl.client import tokens

        return self.do(tokens.CREATE, name=name, role=role)

    def revoke_token(self, ref: str) -> Token:
        """Revokes a token, given by name or id. Raises `NotFound`."""
        from queuectl.client import tokens

        return self.do(tokens.REVOKE, ref=ref)
