"""Notes to new jobs: what they lack here, and whether anybody will run them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from queuectl.cli.changed import at_once
from queuectl.domain.job import JobState
from queuectl.domain.proposed import named
from queuectl.domain.unique import ADDED, Fate, state_in_words
from queuectl.environment import OVERRULED
from queuectl.typed import TYPE_CHECKING, Any
from queuectl.wire.words import counted

if TYPE_CHECKING:  # few commands need it
    from queuectl.cli.call import Call
    from queuectl.client.facade import Client
    from queuectl.domain.job import Job
    from queuectl.domain.limits import Pause
    from queuectl.store.arrivals import Admitted

NOTES_MAX = 20
"""Of more things than this that are missing, only the number is noted."""


def note_there(call: Call, job: Job) -> None:
    """Notes that a job was there before."""
    call.console.note(f"{job.id} is already there ({job.state}) and left as it is", "already_there")


def note_not_awaited(call: Call, client: Client, job: Job, wanted: Iterable[str]) -> None:
    """Notes what a job does not wait for though the one that replaced it would have."""
    if left := [each for each in wanted if each not in job.depends_on and _whole(client, each) not in job.depends_on]:
        why = "its dependencies stay as they were"
        call.console.note(f"{job.id} does not wait for {', '.join(left)}: {why}", "not_awaited")


def _whole(client: Client, dependency: str) -> str:
    """A dependency with the whole id of its job, if that is there."""
    from queuectl.domain.dependency import parse
    from queuectl.domain.errors import QueuectlError

    on = parse(dependency)
    try:
        return dependency if on.is_batch else str(on._replace(name=client.job(on.name).id))
    except QueuectlError:
        return dependency


def in_words(admitted: Admitted) -> str:
    """What became of a new job, on one line."""
    job, fate = admitted
    if fate in ADDED:
        return f"enqueued {job.id}{at_once('enqueued', job)}"
    return f"replaced {job.id}" if fate is Fate.MERGED else f"already queued as {job.id} ({state_in_words(job)})"


def note_would_add(call: Call, new: int, others: int) -> None:
    """Notes how many jobs would be added, and how many would meet others."""
    met = f"; {others:,} would meet others" if others else ""
    call.console.note(f"would enqueue {counted(new, 'job')}{met}", "dry_run")


def note_all(call: Call, client: Client, jobs: Iterable[Job]) -> None:
    """Notes what new jobs lack."""
    if not call.console.quiet:
        queues = note_missing(call, (job for job in jobs if not job.finished))
        note_paused(call, client.paused(queues))
        note_unserved(call, client.unserved(queues))


def note_missing(call: Call, jobs: Iterable[Job]) -> list[str]:
    """Notes which folders, files and users of these jobs do not exist here; they may when the jobs start. Notes, too,
    that they have to start before they may.

    Returns the queues of the jobs.
    """
    queues, told, more = dict[str, None](), set[str](), 0
    latest = None
    late: float | None = None
    for job in jobs:
        queues[job.queue] = None
        if job.start_by is not None and job.start_by <= max(job.run_at, job.created_at):
            late = job.start_by
        if job.spec is latest:
            continue
        latest = job.spec
        told.update(_note_overruled(call, latest.env, told))
        for what in _missing(latest.cwd, latest.stdin, latest.output_path, latest.shell, latest.user):
            if len(told) == NOTES_MAX:
                more += what not in told
            elif what not in told:
                told.add(what)
                _note_missing(call, what)
    if more:
        call.console.note(f"{more:,} more jobs lack a file, a folder or a user here", "missing")
    if late is not None:
        time = call.console.time(late)
        call.console.note(f"start_by {time} is over before the job may start: it will be cancelled", "too_late")
    return list(queues)


def note_missing_of(call: Call, document: Mapping[str, Any], folder: str) -> None:
    """The same of the jobs of a schedule, by the keys in its document. Paths are relative to `folder`."""

    def path(key: str) -> str | None:
        given = document.get(key)
        return None if given is None else os.path.normpath(os.path.join(folder, os.path.expanduser(given)))

    shell = document.get("shell")
    if shell is not None and "/" not in shell:
        from shutil import which

        shell = which(shell) or shell
    _note_overruled(call, document.get("env") or {})
    for what in _missing(path("cwd") or folder, path("stdin"), path("output_path"), shell, document.get("user")):
        _note_missing(call, what)


def note_tokens(call: Call, names: Sequence[str], what: str, store: str | None) -> None:
    """Notes which tokens a store lacks now."""
    if names:
        from queuectl.cli.hints import command

        again = command("token create NAME", store)
        call.console.note(f"{what}: {', '.join(names)}; make each with: {again}", "tokens_left")


def _note_overruled(call: Call, env: Mapping[str, str], told: Collection[str] = ()) -> list[str]:
    """Notes which variables of these have no effect; their names."""
    names = [name for name in env if name in OVERRULED and name not in told]
    for name in names:
        call.console.note(f"--env {name} has no effect: a job's worker sets it", "no_effect")
    return names


def _note_missing(call: Call, what: str) -> None:
    call.console.note(f"{what}: the job fails unless it is there when it starts", "missing")


def _missing(
    cwd: str | None, stdin: str | None, output_path: str | None, shell: str | None, user: str | None
) -> Iterator[str]:  # fmt: skip
    if cwd is not None and not _is_there(cwd, os.path.isdir):
        yield f"no folder {cwd} here (--cwd)"
    if stdin is not None and not _is_there(stdin, lambda path: os.path.exists(path) and not os.path.isdir(path)):
        yield f"no file {stdin} here (--stdin)"
    if output_path is not None and not _is_there(folder := os.path.dirname(output_path), os.path.isdir):
        yield f"no folder {folder} here (--output)"
    if shell is not None and not _is_there(os.path.join(cwd or "/", shell), lambda path: os.access(path, os.X_OK)):
        yield f"no program {shell} here (--shell)"
    if user is not None and not _is_user(user):
        yield f"no user {user} here (--user)"


def _is_user(name: str) -> bool:
    from pwd import getpwnam

    try:
        getpwnam(name)
    except KeyError:
        return False
    return True


def _is_there(path: str, is_right: Callable[[str], bool]) -> bool:
    """Whether a look at the path finds what is right. One that may hang is not looked at, and taken as right."""
    if path in (os.getcwd(), "/bin/sh"):
        return True  # of nearly all jobs: loads nothing
    from queuectl.engine.supervise.hanging import Mounts

    return Mounts().hold_any([path]) or is_right(path)


def note_undriven(call: Call, client: Client, jobs: Iterable[Job]) -> bool:
    """Notes which of these jobs run on a worker that is suspended or orphaned, or had one that is gone while there is
    no other, and what can be done. Returns whether there are any."""
    from queuectl.domain.condition import finding
    from queuectl.domain.selector import Selector

    wanted = {job.id for job in jobs if job.state is JobState.PROCESSING}
    workers = client.workers() if wanted else ()
    told = False
    for worker in workers:
        held = [job.id for job in worker.running if job.id in wanted]
        if held and (worker.suspended or worker.orphaned):
            found = finding(worker.name, worker.condition, worker.pid, held)
            assert found is not None
            call.console.note(f"{found.message}; {call.on_this_store(found.fix)}", found.code)
            told = True
    # Read after the workers: one that has just exited has recorded the ends of its jobs first.
    if not workers and wanted and client.find(Selector(ids=tuple(wanted), states=(JobState.PROCESSING,)), limit=1):
        what = "the worker that ran this is gone, and there is no other; the next one records the end, or runs it again"
        call.console.note(f"{what}: {call.command('worker start')}", "worker_gone")
        told = True
    return told


def note_paused(call: Call, paused: Mapping[str, Pause]) -> None:
    """Notes which queues of new jobs are paused, and how to resume them."""
    for queue, pause in paused.items():
        from queuectl.cli.render import visible
        from queuectl.wire.limits import pause_words

        resume = call.command(f"queue resume {named(queue)}")
        paused_since = visible(pause_words(pause, call.console.time))
        call.console.note(f"queue {queue} is {paused_since}; resume it with: {resume}", "queue_paused")


def note_unserved(call: Call, queues: Sequence[str]) -> None:
    """Notes which queues no worker serves, and how to start one."""
    if queues:
        names = ", ".join(queues)
        start = call.command("worker start")
        call.console.note(f"no live worker serves queue {names}; start one with: {start}", "no_worker")
