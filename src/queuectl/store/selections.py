"""The port of selections: what lies in one, however many jobs that are."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.typed import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from queuectl.domain.job import Job
    from queuectl.domain.selector import Selector

Refs = Sequence[str] | Sequence[int]
"""Jobs by ids, or unique prefixes of generated ones; or by `seq`."""


class SelectionStore(Protocol):
    """What goes through selections without reading all of their jobs."""

    def count(self, selector: Selector) -> int:
        """How many jobs match."""

    def latest(self) -> int:
        """`seq` of the newest job, or 0."""

    def before_newest(self, selector: Selector, number: int) -> int | None:
        """`seq` of the last matching job before the newest `number` ones; None if there are not more."""

    def at(self, seqs: Sequence[int]) -> list[Job]:
        """Those of the jobs with these `seq` that exist."""

    def seqs(self, selector: Selector, *, limit: int, after_seq: int | None, up_to_seq: int | None) -> list[int]:
        """`seq` of matching jobs, as `find` finds them."""
