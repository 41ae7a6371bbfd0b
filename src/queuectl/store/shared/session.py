"""What each database provides, so that verbs whose SQL both accept are written once, in this folder.

In the text of a statement, `?` is a parameter and `{schema}.` stands before every table. Words that differ within a
statement are in the `Dialect`. Statements that differ as a whole are named queries in `sql/sqlite` and `sql/postgres`.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager

from queuectl.domain.job import FINISHED, Job, Spec
from queuectl.store.shared import rows
from queuectl.typed import TYPE_CHECKING, Any
from queuectl.wire.jobs import spec_from_text

if TYPE_CHECKING:
    from queuectl.store.values import Grip

OVER = frozenset(state.value for state in FINISHED)
"""The names of final states: a text is found faster than a member of an enum."""


class Session(ABC):
    """A connection to one store.

    `_counted` has how many jobs this transaction adds to each queue and state. `_turned` has the jobs that have ended
    in it, or are to run again, until somebody looks at what depends on them. `_has_listed`: something was put on the
    work list that nobody has looked at here. `_newly_listed`: what this transaction has put there of batches, by its
    number: it cannot see how others leave them that end at the same time. `_failing`: the batches of which a job has
    died in it. `_cancelled`: the jobs that it has cancelled for others. `_has_released`: dependents have become free
    since somebody asked. `_specs` has the known specs by number. `_behind`: the schema lacks steps, and reads use
    `_stand_ins` for what they would add.
    """

    others_share: float
    """After a slice of long work the store is left to others for this many times as long as it took."""

    _dialect: rows.Dialect
    _counted: Counter[tuple[str, str]]
    _turned: dict[int, Job]
    _has_listed = False
    _newly_listed: set[int]
    _failing: set[str]
    _cancelled: Sequence[Job] = ()
    _has_released = False
    _specs: dict[int, Spec]
    _behind: bool
    _stand_ins: Mapping[str, str]

    @abstractmethod
    def _hold_gates(self) -> None:
        """Until this transaction ends, nobody else decides about limits and locks."""

    def _have_patience(self, seconds: float | None) -> None:  # noqa: B027 - one that writes to a file has waited before
        """How long to wait for what others have locked, from now on in this transaction; None: as usual."""

    def _select_at_once(self, text: str, values: Sequence[object]) -> list[Any] | None:
        """The same, inside a transaction; None if it would have to wait for others: then it has done nothing."""
        return self._select(text, values)

    @abstractmethod
    def _turn_batches(self, names: Collection[str], *, joined: bool = False) -> None:
        """Jobs of these batches end, run again or leave them in this transaction, or have `joined` them: until it ends,
        they are not calm to others. To be said before it is looked who waits for them, or what is set for them."""

    @abstractmethod
    def _ask_if_calm(self, batch: str, *, joined: bool = False) -> Callable[[], bool]:
        """Asks whether nobody else is turning a batch, and returns what tells the answer. If so, all who did are seen
        by what is read from now on, and all who will do see who waits for it now, and what is set."""

    @abstractmethod
    def _open_lines(self, locks: Sequence[str]) -> bool:
        """Has the next claim look at the jobs that wait for any of these locks; whether any does."""

    def bring_up_to_date(self) -> None:
        """Runs the steps that the schema lacks, as the first transaction does."""
        if self._behind:
            self._behind = False
            try:
                self._migrate()
            except BaseException:
                self._behind = True
                raise
            self._stand_ins = {}

    @abstractmethod
    def _migrate(self) -> None: ...

    @abstractmethod
    def _look_at_schema(self) -> None:
        """Sets `_behind` and `_stand_ins` where the schema has changed."""

    def try_write(self) -> None:
        behind, self._behind = self._behind, False  # it changes nothing, the schema neither
        try:
            self._try_write()
        finally:
            self._behind = behind

    @abstractmethod
    def _try_write(self) -> None: ...

    def _as_of(self, text: str) -> str:
        """The statement for the schema as it is now: another process may have run the steps meanwhile."""
        if self._behind:
            self._look_at_schema()
        for part, stand_in in self._stand_ins.items():
            text = re.sub(rf"{re.escape(part)}\b", lambda _, whole=stand_in: whole, text)  # type: ignore[misc]
        return text

    @abstractmethod
    def now(self) -> float: ...

    @abstractmethod
    def transaction(self) -> AbstractContextManager[None]: ...

    @abstractmethod
    def _snapshot(self) -> AbstractContextManager[None]:
        """Makes several reads see the same moment, if the database can."""

    @abstractmethod
    def _select(self, text: str, values: Sequence[object] = ()) -> list[Any]:
        """The rows that a statement returns. A statement that writes must run inside a transaction."""

    @abstractmethod
    def _execute(self, text: str, values: Sequence[object] = ()) -> None:
        """Runs a statement without a result, inside a transaction."""

    @abstractmethod
    def read(self, query: str, **parameters: Any) -> list[Any]:
        """The rows of a named query."""

    @abstractmethod
    def send(self, query: str, **parameters: Any) -> Any:
        """Runs a named query inside a transaction. Returns a cursor with its rows."""

    @abstractmethod
    def _send_rows(self, query: str, values: Sequence[tuple[object, ...]]) -> Any:
        """Runs a named query for each of these rows (at least one), inside a transaction."""

    @abstractmethod
    def _write(self, changed: Sequence[tuple[Job, Job]], now: float) -> Any:
        """Replaces jobs, each (before, after), if their holder and lease are still the same."""

    @abstractmethod
    def _remove(self, seqs: Sequence[int]) -> None:
        """Removes jobs and everything that only they needed."""

    @abstractmethod
    def _announce(self, jobs: int | None = None) -> None:
        """Announces this transaction's commit to those who wait for one, unless they notice it anyway. `jobs`: nothing
        has changed but that about so many more jobs can be claimed; 0: later."""

    @abstractmethod
    def _check(self, grip: Grip) -> None:
        """Raises `Superseded` if the supervisor was taken over. The answer holds until this transaction ends."""

    @abstractmethod
    def _home(self) -> str:
        """See store/identity.py."""

    def _jobs(self, rest: str, values: Sequence[object] = ()) -> list[Job]:
        """The jobs that a query with this `rest` finds."""
        with self._snapshot():
            return self._made(self._select(f"SELECT {rows.JOB_COLUMNS} FROM {{schema}}.jobs {rest}", values))

    def _made(self, found: Sequence[Any]) -> list[Job]:
        """The jobs in rows of `JOB_COLUMNS`. A job whose spec is gone has just been deleted."""
        self._learn_specs({row[rows.SPEC_AT] for row in found})
        specs = self._specs
        there = [row for row in found if row[rows.SPEC_AT] in specs]
        return rows.jobs_from_rows(there, specs.__getitem__)

    def _learn_specs(self, spec_ids: set[int]) -> None:
        if len(self._specs) >= rows.SPECS_KNOWN_MAX:
            self._specs.clear()
        if unknown := spec_ids - self._specs.keys():
            text = f"SELECT id, body FROM {{schema}}.specs WHERE id {self._dialect.any_of}"
            for spec_id, body in self._select(text, [self._dialect.array(list(unknown))]):
                self._specs[spec_id] = spec_from_text(body)

    def _count(self, changed: Iterable[tuple[Job, Job]]) -> None:
        """Counts jobs, each (before, after), in their new states."""
        for before, after in changed:
            if before.state is not after.state or before.queue != after.queue:
                self._counted[before.queue, before.state._value_] -= 1
                self._counted[after.queue, after.state._value_] += 1
                if before.state._value_ in OVER or after.state._value_ in OVER:
                    self._turned[after.seq] = after

    @abstractmethod
    def _settle_ends(self) -> None:
        """Settles what follows for dependents from what this transaction has done."""
