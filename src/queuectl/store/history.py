"""The port of history: figures, news and tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from queuectl.typed import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # few commands need these
    from queuectl.domain.job import Attempt, Job
    from queuectl.domain.selector import Selector
    from queuectl.domain.token import Token
    from queuectl.store.past import Deed, End, Failure, FaultTally, Group, News, Place, Span, Tally


class HistoryStore(Protocol):
    """What the web server needs as well: figures, news and tokens."""

    def fault_groups(self, selector: Selector, limit: int) -> list[Group]:
        """The matching failed and dead jobs grouped by how they failed, largest group first. `recent` is left out."""

    def fault_tallies(self, faults: Sequence[str], since: float, until: float, stretches: int) -> list[FaultTally]:
        """When the failed and dead jobs of these groups failed, from `since` to before `until`, in equal stretches."""

    def fallen(
        self, selector: Selector, limit: int, before: tuple[float, int] | None, since: float | None = None
    ) -> list[Job]:
        """The matching failed and dead jobs by when they failed, latest first, none earlier than `since`; `before`
        continues after a job with that time and `seq`."""

    def fell_at(self, number: int, before: float | None) -> float | None:
        """When the failed or dead job failed that is the so many-th latest, of those that failed before that time."""

    def tallies(self, since: float, until: float, stretches: int, queue: str | None = None) -> list[Tally]:
        """How executions (of one queue) ended from `since` to before `until`, in this many equal stretches. Zeros are
        left out.

        The cost depends on the ends in that time, not on the history.
        """

    def spans(self, since: float, limit: int, until: float | None = None, queue: str | None = None) -> list[Span]:
        """The latest executions (of one queue) that ended by themselves or by timeout since then, and before
        `until`."""

    def ends(self, since: float, limit: int) -> Iterator[End]:
        """The same executions with their queue and command, latest first. Reads on as they are taken."""

    def latest_failures(self, most: int) -> list[Failure]:
        """The latest failures, latest first; those that are long ago are not found."""

    def runs(self, queue: str, most: int) -> list[float]:
        """How long the latest executions of a queue's jobs ran, latest first; those that are long ago are not found."""

    def place(self) -> Place:
        """Where the news ends now."""

    def place_at(self, at: float) -> Place:
        """Where the news of a past moment began."""

    def attempts_of(self, jobs: Sequence[Job]) -> dict[int, list[Attempt]]:
        """Every start of these jobs, oldest first, by the job's `seq`."""

    def news(self, after: Place, limit: int) -> list[News]:
        """What happened after a place, by time, at most `limit` of each kind. Includes everything that runs now."""

    def in_hand(self, limit: int) -> set[tuple[int, int]]:
        """The executions that workers have in hand, started or not, at most `limit`: each `jobs.seq` with its lease."""

    def ends_of(self, executions: Set[tuple[int, int]]) -> list[News]:
        """The ends of executions so named, of those that have ended, whenever that was."""

    def news_between(self, kind: str, first: int, last: int, limit: int) -> list[News]:
        """The jobs added (`job`) or deeds (`deed`) with these numbers, the first `limit` of them."""

    def horizon(self) -> tuple[int, int]:
        """Numbers of transactions, which grow: all before the first have ended, none from the second on has begun to
        write."""

    # --- people -----------------------------------------------------------------------------

    def tokens(self) -> list[Token]:
        """All tokens, oldest first."""

    def token_of(self, digest: str) -> Token | None:
        """The token with this digest, or None."""

    def add_token(self, token: Token) -> None:
        """Raises `Conflict` if its name is taken."""

    def remove_token(self, token_id: str) -> bool:
        """Returns whether there was one."""

    def use_token(self, token_id: str, at: float) -> None:
        """Notes that a token was used."""

    def add_deed(self, deed: Deed) -> None:
        """Records what a person did that no job shows."""

    def deeds(self, limit: int, before: int | None = None) -> list[Deed]:
        """What people did, latest first. `before` continues after that id."""
