"""The actions on jobs, one row each: words for messages, possible jobs, and the function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from queuectl.client.acting import allowed_states
from queuectl.client.facade import Client
from queuectl.client.values import Changed, Progress
from queuectl.domain.job import Job, JobState
from queuectl.domain.lifecycle import CancelRequested, Held, Released, Retried

Do = Callable[[Client, Sequence[str], Progress | None], Changed]


class Action(NamedTuple):
    """A verb in the forms that messages need, the states it can change, and its function.

    A selection without `--state` means the `usual` states (None: all it can change) and the jobs that it `concerns`
    (None: all). A `final` verb on a selection needs `--yes` if nobody can be asked.
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
RETRY_DEAD = Action(verb="retry", done="retried", states=(JobState.DEAD,), do=Client.retry_dead)
PURGE_DEAD = Action(verb="delete", done="deleted", states=(JobState.DEAD,), do=Client.purge, final=True)
