"""`retry`, `cancel`, `hold`, `release`, `delete`: actions on ids or on a selection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from queuectl.cli.call import Call
from queuectl.cli.changed import print_changed, report_refused
from queuectl.cli.choosing import age_to_delete, chosen
from queuectl.client.actions import CANCEL, DELETE, HOLD, RELEASE, RETRY, RETRY_DOWN, Action
from queuectl.client.facade import Client
from queuectl.client.values import Changed, Progress
from queuectl.domain.errors import Invalid, NotFound
from queuectl.domain.job import Job, JobState
from queuectl.wire.words import counted

FORCED_DELETE_WAIT_S = 60.0


def retry(call: Call) -> int:
    """Runs jobs again."""
    return act(call, RETRY_DOWN if call.args.cascade else RETRY)


def cancel(call: Call) -> int:
    """Cancels jobs, including those that an orphaned supervisor runs."""
    return act(call, CANCEL, _cancel)


def _cancel(client: Client, refs: Sequence[str], progress: Progress | None) -> Changed:
    changed = client.cancel(refs, progress)
    ended = client.end_orphaned(changed.jobs)
    return changed._replace(jobs=[client.job(job.id) if job.id in ended else job for job in changed.jobs])


def hold(call: Call) -> int:
    """Holds jobs."""
    return act(call, HOLD)


def release(call: Call) -> int:
    """Releases held jobs."""
    return act(call, RELEASE)


def delete(call: Call) -> int:
    """Deletes jobs; with `--force`, cancels running ones first."""
    if not call.args.force:
        return act(call, DELETE)
    return act(call, DELETE._replace(states=tuple(JobState)), _cancel_and_delete)


def act(
    call: Call, action: Action, do: Callable[[Client, Sequence[str], Progress | None], Changed] | None = None
) -> int:
    """Acts on the given ids, or on the selected jobs once that is confirmed. `do` replaces the action's function."""
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
        progress = console.progress(action.done, len(refs)) if len(refs) > 1 else None
        changed = do(client, refs, progress) if do else client.act(action, refs, progress)
        console.progress_done()
        print_changed(console, client, changed.jobs, action.done)
        return report_refused(console, changed.refused)


def _selected(call: Call, client: Client, action: Action) -> list[Job] | None:
    """The selected jobs in states that the action can change; None if only ids were given."""
    jobs = chosen(call, client, action.states if call.args.state else action.usual or action.states)
    concerns = action.concerns
    return jobs if jobs is None or concerns is None else [job for job in jobs if concerns(job)]


def _confirmed(call: Call, action: Action, number: str) -> bool:
    unasked = f"{number} would be {action.done}" if action.final else ""
    return call.console.confirmed(f"{action.verb} {number}?", call.args.yes, unasked)


def _cancel_and_delete(client: Client, refs: Sequence[str], progress: Progress | None) -> Changed:
    running = [job.id for job in _there(client, refs) if job.state is JobState.PROCESSING]
    if running:
        client.end_orphaned(client.cancel(running).jobs)
        try:
            client.wait(running, timeout=FORCED_DELETE_WAIT_S)
        except TimeoutError:
            pass  # jobs that still run are refused below
    return client.delete(refs, progress)


def _there(client: Client, refs: Sequence[str]) -> Iterator[Job]:
    """The jobs that exist; the deletion reports the others."""
    for ref in refs:
        try:
            yield client.job(ref)
        except (NotFound, Invalid):
            continue
