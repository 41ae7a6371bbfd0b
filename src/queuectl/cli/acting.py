"""`retry`, `cancel`, `hold`, `release`, `delete`: actions on ids or on a selection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from queuectl.cli.call import Call
from queuectl.cli.changed import print_changed, report_refused
from queuectl.cli.choosing import age_to_delete, selection, selects
from queuectl.cli.notes import note_undriven
from queuectl.client.actions import CANCEL, DELETE, HOLD, RELEASE, RETRY, RETRY_DOWN, Action
from queuectl.client.facade import Client
from queuectl.client.values import Changed
from queuectl.domain.errors import Conflict, QueuectlError
from queuectl.domain.job import Job, JobState
from queuectl.store.selections import Refs
from queuectl.wire.words import counted

FORCED_DELETE_WAIT_S = 60.0


def retry(call: Call) -> int:
    """Runs jobs again."""
    return act(call, RETRY_DOWN if call.args.cascade else RETRY)


def cancel(call: Call) -> int:
    """Cancels jobs."""

    def cancel_and_note(client: Client, refs: Refs) -> Changed:
        changed = client.act(CANCEL, refs)
        note_undriven(call, client, changed.jobs)
        return changed

    return act(call, CANCEL, cancel_and_note)


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
    every = DELETE._replace(states=tuple(JobState))
    return act(call, every, partial(_cancel_and_delete, call), rehearsed=_rehearse_forced)


Do = Callable[[Client, Refs], Changed]


def act(
    call: Call, action: Action, do: Do | None = None, then: Callable[[Client], None] | None = None,
    rehearsed: Do | None = None,
) -> int:  # fmt: skip
    """Acts on the given ids, or on the selected jobs once that is confirmed. `do` replaces the action's function, for
    some of the jobs at a time, and `rehearsed` what a dry run does; `then` is called at the end."""
    console = call.console
    if action.final and call.args.older_than is not None:
        age_to_delete(call.args)
    with call.client() as client:
        among = action.among(selection(call, client))
        batches: Iterator[Refs] = iter([call.words])
        selected, total = None, len(call.words)
        if selects(call.args):
            selected = among and client.selected(among, action.concerns)
            total = selected.count() if selected else 0
        if not total:
            if console.as_json:
                console.json_array([])
            console.note("0 jobs", "no_jobs")
            return 0
        do = do or (lambda client, refs: client.act(action, refs))
        if call.args.dry_run:
            do = rehearsed or (lambda client, refs: client.rehearse(action, refs))
        if selected:
            if not call.args.dry_run and not _confirmed(call, action, counted(total, "job")):
                return 1
            batches = selected.batches()
        acting = _Acting(call, do, f"would {action.verb}" if call.args.dry_run else action.done, total)
        refused = acting.go(client, batches)
        if then and not call.args.dry_run:
            then(client)
        return report_refused(console, refused)


class _Acting:
    """Acts on jobs batch by batch, and prints what was changed. If it is broken off, it says how far it got."""

    def __init__(self, call: Call, do: Do, done: str, total: int) -> None:
        self._call, self._console = call, call.console
        self._do = do
        self._done = done
        self._total = total
        self._changed = 0
        self._refused: list[QueuectlError] = []
        self._broken_off: BaseException | None = None

    def go(self, client: Client, batches: Iterator[Refs]) -> list[QueuectlError]:
        """Returns what was refused."""
        pages = self._pages(client, batches)
        try:
            print_changed(self._console, client, pages, self._done)
        except KeyboardInterrupt as interrupt:
            self._broken_off = interrupt
        except BrokenPipeError:
            for _ in pages:
                pass  # whoever reads no more, as `head` does, does not end the act
            raise
        if self._broken_off is not None:
            if self._total > 1:
                how_far = f"{self._done} {self._changed:,} of {counted(self._total, 'job')}"
                self._console.note(f"{how_far}; to go on, give the command again", "so_far")
            raise self._broken_off
        return self._refused

    def _pages(self, client: Client, batches: Iterator[Refs]) -> Iterator[Sequence[Job]]:
        progress = self._console.progress(self._done, self._total) if self._total > 1 else None
        done = 0
        try:
            for refs in batches:
                changed = self._call.freeing(partial(self._do, client, refs))
                self._changed += len(changed.jobs)
                self._refused += changed.refused
                done += len(refs)
                if progress:
                    progress(done)
                if changed.jobs:
                    yield changed.jobs
        except (KeyboardInterrupt, QueuectlError) as error:
            self._broken_off = error  # what was changed is printed to its end first
        finally:
            self._console.progress_done()


def _confirmed(call: Call, action: Action, number: str) -> bool:
    unasked = f"{number} would be {action.done}" if action.final else ""
    return call.console.confirmed(f"{action.verb} {number}?", call.args.yes, unasked)


def _rehearse_forced(client: Client, refs: Refs) -> Changed:
    """What a forced deletion would do: it refuses no job because it is running."""
    done = client.rehearse(DELETE, refs)
    running = [job for job in client.there(refs) if job.state is JobState.PROCESSING]
    jobs = sorted([*done.jobs, *running], key=lambda job: job.seq)
    return Changed(jobs, [error for error in done.refused if not isinstance(error, Conflict)])


def _cancel_and_delete(call: Call, client: Client, refs: Refs) -> Changed:
    running = [job.id for job in client.there(refs) if job.state is JobState.PROCESSING]
    if running:
        note_undriven(call, client, client.cancel(running).jobs)
        try:
            client.wait(running, timeout=FORCED_DELETE_WAIT_S)
        except TimeoutError:
            pass  # jobs that still run are refused below
    return client.act(DELETE, refs)
