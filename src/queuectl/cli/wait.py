"""`wait`."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.cli.call import Call
from queuectl.cli.choosing import chosen
from queuectl.cli.onlooker import Onlooker
from queuectl.client.facade import Client
from queuectl.domain.errors import NotFound, TimedOut
from queuectl.domain.job import Job, JobState
from queuectl.wire.jobs import job_to_json
from queuectl.wire.times import format_duration, parse_duration
from queuectl.wire.words import counted

NEVER_RAN = 125
TIMED_OUT = 124
BY_SIGNAL = 128
NONE_SELECTED = NotFound.exit_code


def wait(call: Call) -> int:
    """Waits until the jobs have finished."""
    timeout = None if call.args.timeout is None else parse_duration(call.args.timeout, "--timeout")
    console = call.console
    with call.client() as client:
        jobs = chosen(call, client)
        refs = [job.id for job in jobs] if jobs is not None else [client.job(ref).id for ref in call.words]
        if not refs:
            if console.as_json:
                console.json_array([])
            console.note("0 jobs", "no_jobs")
            return 0 if call.args.allow_none else NONE_SELECTED
        onlooker = Onlooker(call, client, refs)
        try:
            finished = client.wait(refs, any=call.args.any, timeout=timeout, tick=onlooker, say=onlooker.say)
        except TimeoutError:
            waited = _still_waiting(client, refs, format_duration(timeout or 0.0))
            console.error(TimedOut(waited, "give a longer --timeout"))
            return TIMED_OUT
    if console.as_json:
        console.json_array(job_to_json(job, job.error if job.state is JobState.DEAD else None) for job in finished)
    else:
        console.lines(job.id if console.quiet else f"{job.id} {job.state}" for job in finished)
    return max(map(exit_code_of, finished))


def exit_code_of(job: Job) -> int:
    """The exit code of a finished job; 0 only if it completed."""
    if job.state is JobState.COMPLETED:
        return 0
    if job.signal is not None:
        return BY_SIGNAL + job.signal
    return job.exit_code or NEVER_RAN


def _still_waiting(client: Client, refs: Sequence[str], timeout: str) -> str:
    left = [job for job in map(client.job, refs) if not job.finished]
    named = ", ".join(f"{job.id} is {job.state}" for job in left[:5])
    more = f" and {counted(len(left) - 5, 'other')}" if len(left) > 5 else ""
    return f"gave up after {timeout}: {named}{more}"
