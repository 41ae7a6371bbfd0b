"""`logs`: a job's output, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice

from queuectl.cli.call import Call
from queuectl.cli.changed import report_refused
from queuectl.cli.choosing import Found, positive
from queuectl.cli.onlooker import Onlooker
from queuectl.client.facade import Client
from queuectl.client.facts import reason_words
from queuectl.domain import proposed
from queuectl.domain.errors import Invalid, NotFound
from queuectl.domain.job import Attempt, Job
from queuectl.domain.selector import Selector
from queuectl.store.values import STDERR, STDOUT


def logs(call: Call) -> int:
    """Prints or follows a job's output."""
    args = call.args
    if args.stdout and args.stderr:
        raise Invalid("--stdout and --stderr exclude each other", "leave both out to see both")
    stream = STDOUT if args.stdout else STDERR if args.stderr else None
    tail = positive(args.tail, "--tail", least=0)
    if args.follow and args.attempt is not None:
        raise Invalid("--attempt and --follow exclude each other", "-f shows the latest attempt and those after it")
    with call.client() as client:
        found = Found(call, client)
        jobs = iter(found)
        if args.follow:
            chosen = list(jobs)
            return (
                _follow(call, client, chosen, stream, tail) if chosen else report_refused(call.console, found.refused)
            )
        if call.console.as_json:
            documents = (_documents(client, job, args.attempt, stream, tail) for job in jobs)
            call.console.json_array(document for each in documents for document in each)
        else:
            first = list(islice(jobs, 2))
            for job in chain(first, jobs):
                _print(call, client, job, stream, tail, named=len(first) > 1)
        return report_refused(call.console, found.refused)


def _print(call: Call, client: Client, job: Job, stream: int | None, tail: int | None, named: bool) -> None:
    """Prints the wanted output of one job; with several jobs or attempts, notes name each."""
    note = call.console.note
    numbers = _numbers(call.args.attempt, job, client.history(job.id).attempts)
    if not numbers:
        reason = reason_words(job, client.reason(job), client.now(), call.console.time) or job.error
        note(f"job {job.id} has not run" + (f": {reason}" if reason else ""), "not_run")
    for number in numbers:
        if named or call.args.attempt == "all":
            note(f"==> {f'{job.id} ' if named else ''}attempt {number} <==", "attempt", is_header=True)
        for which, data in client.pieces(job, number, stream, tail):
            call.console.raw(data, which if stream is None else STDOUT)
    if stream == STDERR and numbers and not job.spec.split_output:
        whole = call.command(f"logs {proposed.named(job.id)}")
        note(f"job {job.id} did not split its output; see: {whole}", "one_stream")


def _numbers(given: str | None, job: Job, attempts: Sequence[Attempt]) -> list[int]:
    """The numbers of the attempts to print: the latest, all, or the given one. Raises `NotFound`."""
    there = [attempt.number for attempt in attempts]
    if given is None:
        return there[-1:]
    if given == "all":
        return there
    number = positive(given, "--attempt")
    if number not in there:
        known = f"its attempts: {', '.join(map(str, there))}" if there else "it has not run"
        raise NotFound(f"job {job.id} has no attempt {number}", known)
    return [number]


def _documents(
    client: Client, job: Job, attempt: str | None, stream: int | None, tail: int | None
) -> Iterator[dict[str, object]]:
    for number in _numbers(attempt, job, client.history(job.id).attempts):
        data = b"".join(data for _, data in client.pieces(job, number, stream, tail))
        yield {"id": job.id, "attempt": number, "output": data.decode("utf-8", "replace")}


def _follow(call: Call, client: Client, jobs: Sequence[Job], stream: int | None, tail: int | None) -> int:
    if len(jobs) > 1:
        raise Invalid(f"--follow follows one job, not {len(jobs)}", "name one")
    if call.console.as_json:
        raise Invalid("--follow prints raw bytes, not JSON", "leave out --json or --follow")
    this = Selector(ids=(jobs[0].id,))
    onlooker, has_said = Onlooker(call, client, this), False
    for number, data in client.follow(jobs[0].id, stream=stream, tail=tail, ticks=True, say=onlooker.say):
        if number:
            has_said = True
            call.console.raw(data, number if stream is None else STDOUT)
        else:
            onlooker()
    for job in () if has_said else client.find(this):
        if job.lease == 0:
            call.console.note(f"job {job.id} has not run: {job.error}", "not_run")
    return 0
