"""Prints which jobs a command changed, in every form of output, and which it could not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from queuectl.domain.job import Job, JobState
from queuectl.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from queuectl.cli.console import Console
    from queuectl.client.facade import Client
    from queuectl.domain.errors import QueuectlError

AT_ONCE = ("enqueued", "retried")
LINES_MAX = 20
"""On a terminal, more jobs than this are counted instead of listed."""


def print_changed(console: Console, client: Client, pages: Iterable[Sequence[Job]], verb: str) -> None:
    """Prints the changed jobs as they come: `enqueued job1`, bare ids, or JSON."""
    if console.as_json:
        console.job_array(client.with_reasons(pages))
    elif console.quiet:
        for jobs in pages:
            console.lines(job.id for job in jobs)
    elif console.terminal:
        _print_few(console, pages, verb)
    else:
        for jobs in pages:
            console.lines(f"{_so_far(verb, job)} {job.id}{at_once(verb, job)}" for job in jobs)


def _print_few(console: Console, pages: Iterable[Sequence[Job]], verb: str) -> None:
    few: list[Job] = []
    number = 0
    for jobs in pages:
        number += len(jobs)
        few += jobs[: LINES_MAX + 1 - len(few)]
    if number > LINES_MAX:
        from queuectl.wire.words import counted

        console.print(f"{verb} {counted(number, 'job')}")
    else:
        console.lines(f"{_so_far(verb, job)} {job.id}{at_once(verb, job)}" for job in few)


def _so_far(verb: str, job: Job) -> str:
    """The verb for one job: a running job is not cancelled until its worker has ended its command. It may turn out that
    it had ended by itself."""
    if verb != "cancelled" or job.state is JobState.CANCELLED:
        return verb
    return "cancelling" if job.cancel_requested else f"not cancelled, since it is {job.state}:"


def at_once(verb: str, job: Job) -> str:
    """What became of a job that was enqueued or retried after one that has ended otherwise."""
    return f"; cancelled at once: {job.error}" if job.state is JobState.CANCELLED and verb in AT_ONCE else ""


def report_refused(console: Console, refused: Sequence[QueuectlError]) -> int:
    """Prints the errors. Returns the exit code of the first."""
    for error in refused:
        console.error(error)
    return refused[0].exit_code if refused else 0
