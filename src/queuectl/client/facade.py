"""Every use case, once. The command line, the web and Python programs only translate words to and from it.

A `Client` holds one open store and nothing else; it is for one thread. Programs get one for many: see library.py.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from queuectl.client.enqueueing import ON_CONFLICT, JobFactory, insert_unknown
from queuectl.client.values import Changed as Changed
from queuectl.client.values import History as History
from queuectl.client.values import Status as Status
from queuectl.client.values import WorkerView as WorkerView
from queuectl.client.workers import ask_to_stop, is_of_here, is_still_there, line_of, living, resume, serves, workers_of
from queuectl.domain import reason as reasons
from queuectl.domain.errors import Conflict, Invalid, NotFound, QueuectlError
from queuectl.domain.finding import Finding
from queuectl.domain.job import FINISHED, Job, JobState
from queuectl.domain.lifecycle import TRANSITIONS, CancelRequested, Event, Held, Released, Retried
from queuectl.domain.selector import ALL_JOBS, Selector
from queuectl.settings import Settings, canonical
from queuectl.store.port import LEASE_MIN_S, Store
from queuectl.wire.requests import NOTHING, JobRequest, parse_request
from queuectl.wire.times import format_duration, format_second

BATCH = 500
"""Jobs changed in one transaction when a command acts on many."""

PAGE = 1000
"""Jobs read at a time where all of them are wanted."""

WAITING = (JobState.PENDING, JobState.FAILED)

PLACES_MAX = 50
"""Jobs of one listing whose exact place in line is counted."""

DETAIL_MAX = 2000
"""Signs of what the audit log says of one act."""

Progress = Callable[[int], None]
"""Told how many jobs are done so far."""


class _Uncounted(Exception):
    """The place in line is not worth counting."""


def login_name() -> str:
    """Who asks: the login name, or the user's number where it has none."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


class Client:
    """All that can be done with a queue."""

    def __init__(self, store: Store, who: str | None = None) -> None:
        self._store = store
        self.who = who or login_name()

    @property
    def store(self) -> Store:
        """The open store."""
        return self._store

    def close(self) -> None:
        self.store.close()

    # --- enqueue ----------------------------------------------------------------------------

    def enqueue(
        self, requests: Iterable[JobRequest], *, connection: Any = None, on_conflict: str = "error"
    ) -> list[Job]:
        """Adds the jobs, all or none, with the settings and surroundings of this moment. Durable on return.

        With `on_conflict` "ignore", a job whose id is taken is left out, and the one that has the id stands in its
        place: it has a `seq`, which a new job has not. With `connection`, an application's own to the PostgreSQL
        database of this store, they are added in its open transaction, and are there for others when it commits; the
        owner is then the role that it is logged in as.
        """
        if on_conflict not in ON_CONFLICT:
            raise Invalid(f"on_conflict must be {' or '.join(ON_CONFLICT)}, not {on_conflict!r}")
        factory = JobFactory(self.settings(), self.store.now(), self.who)
        jobs = [factory.job(request) for request in requests]
        if connection is not None:
            if on_conflict != "error":
                raise Invalid("connection and on_conflict exclude each other", "look first whether the job is there")
            return self._within(connection, jobs)
        if on_conflict == "ignore":
            return insert_unknown(self.store, jobs)
        self.store.insert(jobs)
        return jobs

    def clone(self, ref: str, changes: Mapping[str, Any] = NOTHING) -> Job:
        """Adds the same job once more under another id, with the keys of its JSON that are in `changes` changed."""
        job, now = self.job(ref), self.store.now()
        command = job.command if isinstance(job.command, str) else list(job.command)
        request = parse_request({"command": command, **changes}, now)
        new = JobFactory(self.settings(), now, self.who).again(job, request, {key.replace("-", "_") for key in changes})
        self.store.insert([new])
        return new

    def _within(self, connection: Any, jobs: Sequence[Job]) -> list[Job]:
        if not self.store.shared_by_machines:
            raise Invalid("connection= needs a store on PostgreSQL", f"this one is {self.store.url}")
        from queuectl.store.postgres.enqueue import enqueue_within

        return enqueue_within(connection, self.store.address, jobs)

    def unserved(self, queues: Iterable[str]) -> list[str]:
        """Which of these queues no live worker serves."""
        live = living(self.store)
        return [queue for queue in dict.fromkeys(queues) if not any(serves(worker, queue) for worker in live)]

    # --- look -------------------------------------------------------------------------------

    def job(self, ref: str) -> Job:
        """The job of an id or unique prefix. Raises `NotFound`."""
        return self.store.get(ref)

    def history(self, ref: str) -> History:
        """A job with its attempts and what people did to it."""
        job = self.store.get(ref)
        return History(job=job, reason=self.reason(job), attempts=self.store.attempts(job), notes=self.store.notes(job))

    def find(self, selector: Selector = ALL_JOBS, *, limit: int | None = None, newest_first: bool = False) -> list[Job]:
        """Matching jobs, in the order of enqueueing or the reverse."""
        if limit is not None and limit < 0:
            raise Invalid(f"limit must not be below 0, not {limit}")
        return self.store.find(selector, limit=limit, newest_first=newest_first)

    def count(self, selector: Selector = ALL_JOBS) -> int:
        """How many jobs match."""
        return self.store.count(selector)

    def each(self, selector: Selector = ALL_JOBS) -> Iterator[tuple[Job, str | None]]:
        """All matching jobs with their reasons, in the order of enqueueing, read piece by piece."""
        for page in self._pages_of(selector):
            yield from zip(page, self.reasons(page), strict=True)

    def jobs(self, selector: Selector = ALL_JOBS) -> Iterator[Job]:
        """All matching jobs, in the order of enqueueing, read piece by piece."""
        for page in self._pages_of(selector):
            yield from page

    def _pages_of(self, selector: Selector) -> Iterator[list[Job]]:
        after = None
        while page := self.store.find(selector, limit=PAGE, after_seq=after):
            yield page
            after = page[-1].seq

    def reason(self, job: Job) -> str | None:
        """Why the job does not run, in words; none where it runs or is done."""
        return self.reasons([job])[0]

    def reasons(self, jobs: Sequence[Job]) -> list[str | None]:
        """The same for many. Places in line are counted for the first of them only."""
        now = self.store.now()
        live: list[WorkerView] | None = None
        waiting: set[str] = set()
        places = 0

        def look_around(job: Job) -> reasons.Surroundings:
            nonlocal live, waiting, places
            if live is None:
                live = self.workers()
                waiting = {queue for (queue, state), n in self.store.counts().items() if n and state in WAITING}
            serving = [worker for worker in live if serves(worker, job.queue) and not worker.stopping]
            slots = sum(worker.slots for worker in serving)
            places += 1
            if slots and places > PLACES_MAX:
                raise _Uncounted
            busy = sum(len(worker.running) for worker in serving)
            line = line_of(serving, job.queue, waiting)
            ahead = self.store.ahead(job, reasons.AHEAD_MAX, line) if slots else 0
            return reasons.Surroundings(slots=slots, busy=busy, ahead=ahead)

        def one(job: Job) -> str | None:
            try:
                return reasons.reason(job, now, lambda: look_around(job), format_duration, format_second)
            except _Uncounted:
                return "in line"

        return [one(job) for job in jobs]

    def status(self, retries: int = 5) -> Status:
        """Workers, counts by state and queue, the oldest waiting job, the next retries."""
        counts: dict[JobState, int] = dict.fromkeys(JobState, 0)
        queues: dict[str, dict[JobState, int]] = {}
        for (queue, state), number in self.store.counts().items():
            counts[state] += number
            queues.setdefault(queue, dict.fromkeys(JobState, 0))[state] = number
        backlog = self.store.backlog(retries)
        return Status(
            url=self.store.url, at=self.store.now(), workers=self.workers(), counts=counts, queues=queues,
            oldest_due=backlog.oldest_due, next_retries=backlog.next_retries,
        )  # fmt: skip

    # --- act --------------------------------------------------------------------------------

    def retry(self, refs: Sequence[str], progress: Progress | None = None) -> Changed:
        """Runs jobs again: a failed one now, a finished one afresh."""
        return self._change(refs, Retried(), progress)

    def retry_dead(self, refs: Sequence[str], progress: Progress | None = None) -> Changed:
        """Takes jobs out of the dead letter queue: attempts back to 0, history kept. Others are refused."""
        return self._only_dead(refs, lambda dead: self.store.change(dead, Retried(), self.who), progress)

    def cancel(self, refs: Sequence[str], progress: Progress | None = None) -> Changed:
        """Ends jobs for good; a running one's command is ended by its worker within a second."""
        return self._change(refs, CancelRequested(), progress)

    def hold(self, refs: Sequence[str], progress: Progress | None = None) -> Changed:
        """Keeps workers from claiming the jobs."""
        return self._change(refs, Held(), progress)

    def release(self, refs: Sequence[str], progress: Progress | None = None) -> Changed:
        """Lets workers claim held jobs again."""
        return self._change(refs, Released(), progress)

    def delete(self, refs: Sequence[str], progress: Progress | None = None) -> Changed:
        """Removes jobs with their history and output. Running ones are refused."""
        return _in_batches(refs, self._delete, progress)

    def _delete(self, refs: Sequence[str]) -> list[Job | QueuectlError]:
        with self.store.transaction():
            results = self.store.delete(refs)
            if gone := [each.id for each in results if isinstance(each, Job)]:
                self.note("Deleted", f"{len(gone)}: {', '.join(gone)}")
        return results

    def purge(self, refs: Sequence[str], progress: Progress | None = None) -> Changed:
        """Deletes dead jobs. Others are refused."""
        return self._only_dead(refs, self._delete, progress)

    def _change(self, refs: Sequence[str], event: Event, progress: Progress | None) -> Changed:
        return _in_batches(refs, lambda batch: self.store.change(batch, event, self.who), progress)

    def _only_dead(
        self, refs: Sequence[str], act: Callable[[Sequence[str]], list[Job | QueuectlError]], progress: Progress | None
    ) -> Changed:
        def batch(some: Sequence[str]) -> list[Job | QueuectlError]:
            with self.store.transaction():  # or a job might leave the DLQ between the look and the act
                dead, refused = [], list[Job | QueuectlError]()
                for ref in some:
                    try:
                        job = self.store.get(ref)
                    except (NotFound, Invalid) as error:
                        refused.append(error)
                        continue
                    if job.state is JobState.DEAD:
                        dead.append(job.id)
                    else:
                        refused.append(Conflict(f"job {job.id} is {job.state}, not dead", "see: queuectl dlq list"))
                return refused + act(dead)

        return _in_batches(refs, batch, progress)

    # --- settings ---------------------------------------------------------------------------

    def settings(self) -> Settings:
        """The settings in force."""
        return Settings(self.store.config(), self.store.defaults)

    def set_setting(self, name: str, value: str) -> None:
        """Checks and keeps a setting. Jobs enqueued earlier keep theirs."""
        name = canonical(name)
        self.settings().check(name, value)
        if name == "lease-ttl" and self.store.shared_by_machines and Settings({name: value})[name] < LEASE_MIN_S:
            raise Invalid(f"lease-ttl must be at least {LEASE_MIN_S:g}s where machines share a store, not {value!r}")
        self._set(name, value)

    def unset_setting(self, name: str) -> None:
        """Puts a setting back to its default."""
        self._set(canonical(name), None)

    def _set(self, name: str, value: str | None) -> None:
        with self.store.transaction():
            self.store.set_config(name, value)
            if value is None:
                self.note("SettingUnset", name)
            else:
                self.note("SettingSet", f"{name}={value}")

    def note(self, kind: str, detail: str) -> None:
        """Keeps what was done for whoever asks later, where no job shows it."""
        from queuectl.store.past import Deed

        self.store.add_deed(Deed(at=self.store.now(), kind=kind, who=self.who, detail=detail[:DETAIL_MAX]))

    # --- workers ----------------------------------------------------------------------------

    def out_of_order(self) -> list[Finding]:
        """What is wrong with the store just now, and workers that seem not to reach it."""
        from queuectl.client import doctor

        return [*doctor.unwritable(self.store), *doctor.out_of_touch(self.store)]

    def workers(self) -> list[WorkerView]:
        """The workers alive now, and supervisors that outlived theirs."""
        return workers_of(self.store)

    def ask_to_stop(
        self, names: Sequence[str], *, now: bool = False, all_hosts: bool = False, orphaned: bool = False
    ) -> list[WorkerView]:
        """Asks workers (all of this host, or of all hosts, or those named; GLOBs work) to stop; returns whom it asked.

        Raises `NotFound` where a name means none. A suspended one is continued, so that it hears of it. An orphaned one
        hears nobody: it is asked only where the caller drives it then (see engine/dispatch/guardian.py).
        """
        live = [worker for worker in self.workers() if not worker.orphaned or (orphaned and is_of_here(worker))]
        for name in names:
            if not any(fnmatchcase(worker.name, name) for worker in live):
                raise NotFound(f"no live worker {name}", "see: queuectl worker list")
        everywhere, here = all_hosts or not self.store.shared_by_machines, os.uname().nodename
        if names:
            asked = [worker for worker in live if any(fnmatchcase(worker.name, name) for name in names)]
        else:
            asked = [worker for worker in live if everywhere or worker.host == here]
        how = "now" if now else "graceful"
        ask_to_stop(self.store, asked, how)
        for worker in asked:
            if worker.suspended:
                resume(worker)
        if asked:
            self.note("WorkersStopped", f"{how}: {', '.join(worker.name for worker in asked)}")
        return asked

    def still_there(self, asked: Sequence[WorkerView]) -> list[WorkerView]:
        """Which of these workers have not gone yet."""
        return [worker for worker in asked if is_still_there(self.store, worker)]

    # --- upkeep -----------------------------------------------------------------------------

    def prune(
        self, selectors: Sequence[Selector], progress: Progress | None = None, *, limit: int | None = None
    ) -> int:
        """Deletes finished jobs that match any of the selectors, in short transactions; returns how many.

        With `limit`, at most so many. Raises `Invalid` for states that are not finished.
        """
        for selector in selectors:
            check_prunable(selector.states)
        done, most = 0, sys.maxsize if limit is None else limit
        for selector in selectors:
            while done < most and (removed := self.store.prune(selector, min(BATCH, most - done))):
                done += removed
                if progress:
                    progress(done)
        if done:
            self.note("Pruned", f"{done} finished")
        return done

    def retention(self) -> list[Selector]:
        """What the retention settings say is to be pruned now; empty where nothing ever is."""
        return self.settings().retention(self.store.now())


def allowed_states(event: type[Event]) -> tuple[JobState, ...]:
    """The states in which an event is possible: what a selection for it may match."""
    return tuple(state for state, events in TRANSITIONS.items() if event in events)


def check_prunable(states: Iterable[JobState]) -> None:
    """Raises `Invalid` where jobs in these states are not finished."""
    for state in states:
        if state not in FINISHED:
            raise Invalid(f"{state} jobs cannot be pruned", "only completed, cancelled and dead ones")


def _in_batches(
    refs: Sequence[str], act: Callable[[Sequence[str]], list[Job | QueuectlError]], progress: Progress | None
) -> Changed:
    jobs, refused = [], list[QueuectlError]()
    for batch in _batches(refs):
        for result in act(batch):
            if isinstance(result, QueuectlError):
                refused.append(result)
            else:
                jobs.append(result)
        if progress:
            progress(len(jobs) + len(refused))
    return Changed(jobs=jobs, refused=refused)


def _batches(refs: Sequence[str]) -> Iterator[Sequence[str]]:
    refs = [refs] if isinstance(refs, str) else refs  # a text is a sequence of texts too, and never meant so
    for start in range(0, len(refs), BATCH):
        yield refs[start : start + BATCH]
