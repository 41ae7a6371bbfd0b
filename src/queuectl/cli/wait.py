"""`wait`."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterable, Sequence

from queuectl.cli.call import Call
from queuectl.cli.choosing import selection, selects
from queuectl.cli.onlooker import LOOKED_AT, Onlooker
from queuectl.client.facade import Client
from queuectl.domain.errors import NotFound, TimedOut
from queuectl.domain.job import Job, JobState
from queuectl.domain.selector import Selector
from queuectl.store.selections import Refs
from queuectl.wire.times import format_duration, parse_duration
from queuectl.wire.words import counted

FEW = 1000
"""More jobs than this are not kept in memory."""
NAMED_MAX = 5
NEVER_RAN = 125
TIMED_OUT = 124
BY_SIGNAL = 128
NONE_SELECTED = NotFound.exit_code


def wait(call: Call) -> int:
    """Waits until the jobs have finished."""
    timeout = None if call.args.timeout is None else parse_duration(call.args.timeout, "--timeout")
    console = call.console
    with call.client() as client:
        refs = _refs(call, client)
        if not refs:
            if console.as_json:
                console.json_array([])
            console.note("0 jobs", "no_jobs")
            return 0 if call.args.allow_none else NONE_SELECTED
        waiting = _Waiting(call, client, refs, timeout)
        try:
            return waiting.for_few() if len(refs) <= FEW or call.args.any else waiting.for_many()
        except TimeoutError:
            console.error(TimedOut(waiting.still_waiting(), "give a longer --timeout"))
            return TIMED_OUT


def _refs(call: Call, client: Client) -> Refs:
    """The jobs as they are selected now: few by their ids, many by `seq`, in as little memory as possible."""
    selector = selection(call, client)
    if not selects(call.args):
        return [client.job(ref).id for ref in call.words]
    seqs = array("q")
    for some in client.selected(selector).seqs():
        seqs.extend(some)
    return seqs if len(seqs) > FEW else [job.id for job in client.there(seqs)]


class _Waiting:
    """Waits for jobs, and prints what became of them."""

    def __init__(self, call: Call, client: Client, refs: Refs, timeout: float | None) -> None:
        self._call = call
        self._client = client
        self._refs = refs
        self._timeout = timeout
        self._until = None if timeout is None else time.monotonic() + timeout
        self._told = 0
        self._onlooker = Onlooker(call, client, Selector(ids=tuple(self._ids(refs[:LOOKED_AT]))))

    def _ids(self, refs: Refs) -> list[str]:
        if isinstance(refs[0], str):
            return [str(ref) for ref in refs]
        ids = [job.id for at in range(0, len(refs), FEW) for job in self._client.there(refs[at : at + FEW])]
        if len(ids) < len(refs):
            raise NotFound("a job that was waited for has been deleted", "wait for the others again")
        return ids

    def _wait(self, refs: Refs) -> list[Job]:
        left = None if self._until is None else max(0.0, self._until - time.monotonic())
        look = self._onlooker
        return self._client.wait(self._ids(refs), any=self._call.args.any, timeout=left, tick=look, say=look.say)

    def for_few(self) -> int:
        """Returns the highest exit code."""
        finished = self._wait(self._refs)
        self._print([finished])
        return max(map(exit_code_of, finished))

    def for_many(self) -> int:
        """The same a few jobs at a time: all have to finish, whichever is first. What is printed is read again."""
        parts = [self._refs[start : start + FEW] for start in range(0, len(self._refs), FEW)]
        highest = max(max(map(exit_code_of, self._wait(part))) for part in parts)
        self._print(map(self._client.there, parts))
        return highest

    def _print(self, pages: Iterable[Sequence[Job]]) -> None:
        console = self._call.console
        if console.as_json:
            console.job_array((jobs, [reason_of(job) for job in jobs]) for jobs in pages)
        else:
            for jobs in pages:
                console.lines(job.id if console.quiet else f"{job.id} {job.state}" for job in jobs)
                self._tell_why(jobs)

    def _tell_why(self, jobs: Sequence[Job]) -> None:
        """Says why jobs of which no command's exit code tells have ended, but for those that somebody has cancelled."""
        why = [f"{job.id}: {job.error}" for job in jobs if exit_code_of(job) == NEVER_RAN and job.error != "cancelled"]
        for line in why[: max(0, NAMED_MAX - self._told)]:
            self._call.console.note(line, "job_ended")
        self._told += len(why)

    def still_waiting(self) -> str:
        """What the message says when the time is over."""
        named, left = list[str](), 0
        for start in range(0, len(self._refs), FEW):
            for job in self._client.there(self._refs[start : start + FEW]):
                if not job.finished:
                    left += 1
                    named += [f"{job.id} is {job.state}"] if left <= NAMED_MAX else []
        more = f" and {counted(left - NAMED_MAX, 'other')}" if left > NAMED_MAX else ""
        return f"gave up after {format_duration(self._timeout or 0.0)}: {', '.join(named)}{more}"


def reason_of(job: Job) -> str | None:
    """The `reason` of a finished job: only a dead one has any."""
    return job.error if job.state is JobState.DEAD else None


def exit_code_of(job: Job) -> int:
    """The exit code of a finished job; 0 only if it completed."""
    if job.state is JobState.COMPLETED:
        return 0
    if job.signal is not None:
        return BY_SIGNAL + job.signal
    return job.exit_code or NEVER_RAN
