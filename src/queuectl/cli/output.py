"""`logs`: what a job's command wrote, byte for byte."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from queuectl.cli.call import Call
from queuectl.cli.choosing import positive
from queuectl.client import Client
from queuectl.domain.errors import Invalid, NotFound
from queuectl.domain.job import Attempt, Job
from queuectl.store.port import STDERR, STDOUT


def logs(call: Call) -> int:
    """Prints or follows a job's output."""
    args = call.args
    if args.stdout and args.stderr:
        raise Invalid("--stdout and --stderr exclude each other", "leave both out to see both")
    stream = STDOUT if args.stdout else STDERR if args.stderr else None
    tail = positive(args.tail, "--tail")
    if args.follow and args.attempt is not None:
        raise Invalid("--attempt and --follow exclude each other", "-f shows the latest attempt and those after it")
    with call.client() as client:
        job = client.job(call.words[0])
        if args.follow:
            return _follow(call, client, job, stream, tail)
        attempts = client.history(job.id).attempts
        numbers = _numbers(args.attempt, job, attempts)
        if call.console.as_json:
            call.console.json_array(_documents(client, job, numbers, stream, tail))
            return 0
        if not numbers:
            reason = client.reason(job)
            call.console.note(f"job {job.id} has not run" + (f": {reason}" if reason else ""))
        for number in numbers:
            if args.attempt == "all":
                call.console.note(f"==> attempt {number} <==")
            _print(call, client, job, number, stream, tail)
        if stream == STDERR and numbers and not job.spec.split_output:
            call.console.note(f"job {job.id} keeps both streams in one; see: {call.command(f'logs {job.id}')}")
    return 0


def _numbers(given: str | None, job: Job, attempts: Sequence[Attempt]) -> list[int]:
    """The attempts to be shown: the latest, all, or the one given. Raises `NotFound`."""
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


def _print(call: Call, client: Client, job: Job, number: int, stream: int | None, tail: int | None) -> None:
    from queuectl import follow

    for which, data in follow.read(client.store, job, number, stream, tail):
        call.console.raw(data, which if stream is None else STDOUT)


def _documents(
    client: Client, job: Job, numbers: list[int], stream: int | None, tail: int | None
) -> Iterator[dict[str, object]]:
    from queuectl import follow

    for number in numbers:
        data = b"".join(data for _, data in follow.read(client.store, job, number, stream, tail))
        yield {"id": job.id, "attempt": number, "output": data.decode("utf-8", "replace")}


def _follow(call: Call, client: Client, job: Job, stream: int | None, tail: int | None) -> int:
    from queuectl import follow

    if call.console.as_json:
        raise Invalid("--follow gives raw bytes, never JSON", "leave out --json or --follow")
    for number, data in follow.follow(client.store, job.id, stream, tail):
        call.console.raw(data, number if stream is None else STDOUT)
    return 0
