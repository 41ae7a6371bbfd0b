"""What a worker asks a store about hooks."""

from __future__ import annotations

from queuectl.typed import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from queuectl.domain.job import Job


class HookStore(Protocol):
    """A part of a `WorkStore`; see store/port.py."""

    hooks_added: bool
    """Whether `record` has added a hook. The caller takes that back."""
    runs_ended: bool
    """Whether `record` has noted the end of a run of a schedule that keeps streaks. The caller takes that back."""

    def hooks_about(self, kind: str, name: str, most: int) -> list[Job]:
        """The latest hooks that tell of this job or schedule, oldest first."""

    def hooks_given_up(self) -> int:
        """How many hooks have failed each of their tries."""

    def has_hooks(self) -> bool:
        """Whether a hook can be claimed now."""
