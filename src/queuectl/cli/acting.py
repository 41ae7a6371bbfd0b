"""`retry`, `cancel`, `hold`, `release`, `delete`: a verb on ids or on a selection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from queuectl.cli.call import Call
from queuectl.cli.choosing import age_to_delete, chosen, print_changed, report_refused
from queuectl.cli.render import counted
from queuectl.client.facade import Changed, Client, Progress, allowed_states
from queuectl.domain.errors import Invalid, NotFound
from queuectl.domain.job import Job, JobState
from queuectl.domain.lifecycle import CancelRequested, Held, Released, Retried

FORCED_DELETE_WAIT_S = 60.0
LOOK_AGAIN_S = 0.05

Do = Callable[[Client, Sequence[str], Progress | None], Changed]


class Action(NamedTuple):
    """A verb in the forms that messages need, the states it can change, and how it is done.

    A selection without `--state` means `usual` states (none: all it can change) and those jobs that it
    `concerns` (none: all). Where nobody can be asked, a `final` verb on a selection has to be confirmed by `--yes`.
    """

    verb: str
    done: str
    states: tuple[JobState, ...]
    do: Do
    usual: tuple[JobState, ...] = ()
    concerns: Callable[[Job], bool] | None = None
    final: bool = False


RETRY = Action(
    verb="retry", done="retried", states=allowed_states(Retried), do=Client.retry,
    usual=(JobState.FAILED, JobState.DEAD, JobState.CANCELLED),
)  # fmt: skip
CANCEL = Action(verb="cancel", done="cancelled", states=allowed_states(CancelRequested), do=Client.cancel)
HOLD = Action(verb="hold", done="held", states=allowed_states(Held), do=Client.hold, concerns=lambda job: not job.held)
RELEASE = Action(
    verb="release", done="released", states=allowed_states(Released), do=Client.release, concerns=lambda job: job.held
)
DELETE = Action(
    verb="delete", done="deleted", do=Client.delete, final=True,
    states=tuple(state for state in JobState if state is not JobState.PROCESSING),
)  # fmt: skip


def retry(call: Call) -> int:
    """Runs jobs again."""
    return act(call, RETRY)


def cancel(call: Call) -> int:
    """Ends jobs for good, also those that only an orphaned supervisor runs."""
    return act(call, CANCEL._replace(do=_cancel))


def _cancel(client: Client, refs: Sequence[str], progress: Progress | None) -> Changed:
    changed = client.cancel(refs, progress)
    ended = _end_orphaned(client, changed.jobs)
    return changed._replace(jobs=[client.job(job.id) if job.id in ended else job for job in changed.jobs])


def _end_orphaned(client: Client, jobs: Sequence[Job]) -> set[str]:
    """Has cancelled jobs ended from here where only supervisors are left of their worker; the ids of those."""
    running = {job.id for job in jobs if job.state is JobState.PROCESSING}
    if not running:
        return set()
    from queuectl.engine.dispatch.guardian import guarding, orphans

    workers = {job.worker for job in jobs if job.id in running and job.worker}
    wards = orphans(client.store, workers)
    ended = {job.id for row in wards for job in client.store.running(row.id)} & running
    if ended:
        with guarding(client.store, wards) as guardian:
            while any(client.job(each).state is JobState.PROCESSING for each in ended):
                guardian.turn(LOOK_AGAIN_S)
    return ended


def hold(call: Call) -> int:
    """Keeps jobs from being started."""
    return act(call, HOLD)


def release(call: Call) -> int:
    """Lets held jobs be started."""
    return act(call, RELEASE)


def delete(call: Call) -> int:
    """Removes jobs; with `--force` running ones are cancelled first."""
    if not call.args.force:
        return act(call, DELETE)
    return act(call, Action(verb="delete", done="deleted", states=tuple(JobState), do=_cancel_and_delete, final=True))


def act(call: Call, action: Action) -> int:
    """Does it to the ids typed, or after asking to the jobs selected."""
    console = call.console
    if action.final and call.args.older_than is not None:
        age_to_delete(call.args)
    with call.client() as client:
        jobs = _selected(call, client, action)
        if jobs is not None and not jobs:
            if console.as_json:
                console.json_array([])
            console.note("0 jobs", "no_jobs")
            return 0
        if call.args.dry_run:
            named = jobs if jobs is not None else [client.job(ref) for ref in call.words]
            print_changed(console, client, named, f"would {action.verb}")
            return 0
        if jobs is not None and not _confirmed(call, action, counted(len(jobs), "job")):
            console.note("nothing was changed", "nothing_changed")
            return 1
        refs = call.words if jobs is None else [job.id for job in jobs]
        changed = action.do(client, refs, console.progress(action.done, len(refs)) if len(refs) > 1 else None)
        console.progress_done()
        print_changed(console, client, changed.jobs, action.done)
        return report_refused(console, changed.refused)


def _selected(call: Call, client: Client, action: Action) -> list[Job] | None:
    """The jobs of the selectors that the action is for; none where only ids were typed."""
    jobs = chosen(call, client, action.states if call.args.state else action.usual or action.states)
    concerns = action.concerns
    return jobs if jobs is None or concerns is None else [job for job in jobs if concerns(job)]


def _confirmed(call: Call, action: Action, number: str) -> bool:
    unasked = f"{number} would be {action.done}" if action.final else ""
    return call.console.confirmed(f"{action.verb} {number}?", call.args.yes, unasked)


def _cancel_and_delete(client: Client, refs: Sequence[str], progress: Progress | None) -> Changed:
    running = [job.id for job in _there(client, refs) if job.state is JobState.PROCESSING]
    if running:
        from queuectl.client import waiting

        _end_orphaned(client, client.cancel(running).jobs)
        try:
            waiting.wait(client.store, running, False, FORCED_DELETE_WAIT_S)
        except TimeoutError:
            pass  # what still runs is refused below, by name
    return client.delete(refs, progress)


def _there(client: Client, refs: Sequence[str]) -> Iterator[Job]:
    """The jobs that exist; the others are named by the deletion itself."""
    for ref in refs:
        try:
            yield client.job(ref)
        except (NotFound, Invalid):
            continue
