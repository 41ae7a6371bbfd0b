"""Executions counted, and their times: for figures and charts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from queuectl.domain.job import HOOKS, Outcome
from queuectl.store.shared.session import Session
from queuectl.typed import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from queuectl.store.past import End, FaultTally, Span, Tally

FALLEN = "state IN ('dead', 'failed')"
"""As the indexes say it, so that they are used."""
NO_HOOK = "job NOT IN (SELECT seq FROM {schema}.jobs WHERE tells IS NOT NULL)"
STRETCHES = "WITH RECURSIVE stretches (nth) AS (SELECT 0 UNION ALL SELECT nth + 1 FROM stretches WHERE nth < ?)"
WITHIN = "finished_at >= ? + ? * nth AND finished_at < ? + ? * (nth + 1)"
"""Stretches of time are counted one by one, along an index: SQLite would keep all that it groups in memory, and sort it
there."""
END_KEY = ("attempts.finished_at", "attempts.outcome", "attempts.job", "attempts.number")
"""Ends in the order of their index."""
ENDS_PAGE = 5000
"""How many of many ends are read at a time."""
COMMAND_SEEN = 300
"""How many characters of a command an `End` has."""
RUNS_SEEN = 1000
"""How many of the latest executions are looked at for those of one queue."""


class Counting(Session):
    """This part of a `Store` (see store/port.py)."""

    def tallies(self, since: float, until: float, stretches: int, queue: str | None = None) -> list[Tally]:
        from queuectl.store.past import Tally

        counted = "(SELECT queue FROM {schema}.jobs WHERE seq = job) = ?" if queue else NO_HOOK
        each = " || ' ' || ".join(f"count(*) FILTER (WHERE outcome = '{outcome}')" for outcome in Outcome)
        text = (
            f"{STRETCHES} SELECT nth, (SELECT {each} FROM {{schema}}.attempts WHERE {WITHIN} AND {counted}) "
            "FROM stretches ORDER BY nth"
        )
        step = (until - since) / stretches
        found = self._select(text, [stretches - 1, since, step, since, step, *([queue] if queue else [])])
        return [
            Tally(place, outcome, int(number))
            for place, numbers in found
            for outcome, number in zip(Outcome, numbers.split(), strict=True)
            if number != "0"
        ]

    def fault_tallies(self, faults: Sequence[str], since: float, until: float, stretches: int) -> list[FaultTally]:
        from queuectl.store.past import FaultTally

        text = (
            f"{STRETCHES} SELECT wanted.each, nth, (SELECT count(*) FROM {{schema}}.jobs WHERE {FALLEN} AND "
            f"fault = wanted.each AND {WITHIN}) FROM stretches CROSS JOIN ({self._dialect.each_of}) AS wanted"
        )
        step = (until - since) / stretches
        found = self._select(text, [stretches - 1, since, step, since, step, self._dialect.array(faults)])
        return [FaultTally(*row) for row in found if row[-1]]

    def spans(self, since: float, limit: int, until: float | None = None, queue: str | None = None) -> list[Span]:
        from queuectl.store.past import Span

        bounds = {" AND attempts.finished_at < ?": until, " AND jobs.queue = ?": queue}
        given = {text: [value] for text, value in bounds.items() if value is not None}
        return [Span(*times) for times in self._measured("", since, limit, given)]

    def ends(self, since: float, limit: int) -> Iterator[End]:
        from queuectl.store.past import End

        named = f"{', '.join(END_KEY)}, jobs.queue, substr(jobs.command, 1, {COMMAND_SEEN}), "
        given: dict[str, Sequence[object]] = {}
        while limit > 0:
            page = self._measured(named, since, min(limit, ENDS_PAGE), given)
            for at, outcome, _, _, queue, command, ran, waited in page:
                yield End(at, queue, command, outcome == Outcome.COMPLETED, ran, waited)
            limit -= len(page)
            if len(page) < ENDS_PAGE:
                break
            given = {f" AND ({', '.join(END_KEY)}) < (?, ?, ?, ?)": page[-1][:4]}

    def _measured(self, named: str, since: float, limit: int, given: Mapping[str, Sequence[object]]) -> list[Any]:
        """The columns named, and run and wait times, of executions that ended by themselves or by timeout, latest
        first. `given` has further conditions with their values."""
        order, greatest = ", ".join(f"{each} DESC" for each in END_KEY), self._dialect.greatest
        text = (
            f"SELECT {named}{greatest}(0.0, attempts.finished_at - attempts.started_at), CASE WHEN attempts.number = 1 "
            f"THEN {greatest}(0.0, attempts.started_at - {greatest}(jobs.run_at, jobs.created_at)) END "
            "FROM {schema}.attempts JOIN {schema}.jobs ON jobs.seq = attempts.job "
            "WHERE attempts.finished_at >= ? AND attempts.outcome IN ('completed', 'failed', 'timeout') "
            f"AND jobs.queue <> '{HOOKS}'{''.join(given)} ORDER BY {order} LIMIT ?"
        )
        values = [value for values in given.values() for value in values]
        return self._select(text, [since, *values, limit])

    def runs(self, queue: str, most: int) -> list[float]:
        text = (
            "SELECT recent.ran FROM (SELECT job, outcome, finished_at, finished_at - started_at AS ran "
            "FROM {schema}.attempts WHERE finished_at IS NOT NULL ORDER BY finished_at DESC LIMIT ?) AS recent "
            "JOIN {schema}.jobs ON jobs.seq = recent.job "
            "WHERE jobs.queue = ? AND recent.outcome IN ('completed', 'failed', 'timeout') "
            "ORDER BY recent.finished_at DESC LIMIT ?"
        )
        return [max(0.0, ran) for (ran,) in self._select(text, [RUNS_SEEN, queue, most])]
