"""New jobs as rows, a slice at a time, column by column.

Most columns of many jobs have one value. It is converted once and told to the database once, in the text of the
statement: binding a value costs a driver more than all else about a column.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice

from queuectl.domain.fields import GUARDED
from queuectl.domain.job import Job, Spec
from queuectl.store.shared.rows import AT_BIRTH, BORN, FLAGS, LISTS, is_ready, list_text
from queuectl.typed import Any, NamedTuple
from queuectl.wire.jobs import PLAIN, command_line

SLICE = 1000
"""How many jobs are in memory at once."""


class Column(NamedTuple):
    """A column of the rows: one value that all of them have, or a value for each."""

    value: Any
    each: Sequence[Any] | None = None

    def values(self, rows: int) -> Sequence[Any]:
        return [self.value] * rows if self.each is None else self.each


def births_of(jobs: Iterable[Job], now: float) -> Iterator[Births]:
    """The jobs in slices."""
    rest = iter(jobs)
    while some := list(islice(rest, SLICE)):
        yield Births(some, now)


class Births:
    """Some new jobs, at least one, that become rows at `now`."""

    def __init__(self, jobs: Sequence[Job], now: float) -> None:
        self.jobs = jobs
        self._now = now
        self._given = dict(zip(Job._fields, map(_column, zip(*jobs, strict=True)), strict=True))

    @cached_property
    def specs(self) -> Sequence[Spec]:
        """Each spec of the jobs, once."""
        spec = self._given["spec"]
        return [spec.value] if spec.each is None else list({id(one): one for one in spec.each}.values())

    @cached_property
    def is_guarded(self) -> bool:
        """Whether a release that does not know all keys of these jobs would run one of them wrongly."""
        return any(
            column.value != unguarded or column.each is not None
            for column, unguarded in ((self._given[name], value) for name, value in _UNGUARDED.items())
        ) or any(_of_spec(spec) != _UNGUARDED_SPEC for spec in self.specs)

    def arriving(self) -> Sequence[Job]:
        """Those of the jobs that bring along more than their row; see store/shared/arriving.py."""
        return [] if self._given["depends_on"] == Column(()) else [job for job in self.jobs if job.depends_on]

    def batches(self) -> set[str]:
        """The batches that the jobs are in."""
        batch = self._given["batch"]
        return {name for name in (batch.each if batch.each is not None else [batch.value]) if name is not None}

    def unlimited(self) -> set[str]:
        """Those batches of which one of the jobs does not need the lock."""
        batch, locks = self._given["batch"], self._given["locks"]
        if batch.each is None and batch.value is None:
            return set()
        from queuectl.domain.batch import lock_of, needs

        jobs = self.jobs[:1] if batch.each is None and locks.each is None else self.jobs
        return {job.batch for job in jobs if job.batch is not None and not needs(job.locks, lock_of(job.batch))}

    def counted(self) -> Counter[tuple[str, str]]:
        """How many of the jobs each queue and state has."""
        queue, state = self._given["queue"], self._given["state"]
        if queue.each is None and state.each is None:
            return Counter({(queue.value, state.value._value_): len(self.jobs)})
        return Counter((job.queue, job.state._value_) for job in self.jobs)

    def claimable(self) -> int:
        """How many of the jobs can be claimed at once."""
        return sum(self._ready.values(len(self.jobs)))

    def uses(self, numbers: Mapping[Spec, int]) -> Counter[int]:
        """How many of the jobs have each spec, given the specs' numbers."""
        spec = self._numbered(numbers)
        return Counter({spec.value: len(self.jobs)} if spec.each is None else spec.each)

    def columns(self, numbers: Mapping[Spec, int], names: Sequence[str] = BORN) -> list[Column]:
        """These columns, given the number of each spec."""
        command, words = self._commands()
        due_at = self._derived(AT_BIRTH, lambda job: job.due_at)
        spec = self._numbered(numbers)
        made = {**self._given, "command": command, "words": words, "spec": spec, "due_at": due_at, "ready": self._ready}
        return [_converted(made[name], _PLAIN.get(name)) for name in names]

    def rows(self, numbers: Mapping[Spec, int], names: Sequence[str] = BORN) -> list[tuple[Any, ...]]:
        """The values of these columns for each job."""
        count = len(self.jobs)
        return list(zip(*(column.values(count) for column in self.columns(numbers, names)), strict=True))

    def _commands(self) -> tuple[Column, Column]:
        given = self._given["command"]
        if given.each is None:
            return _converted(given, command_line), _converted(given, _words)
        kinds = set(map(type, given.each))
        if kinds == {str}:
            return given, Column(None)
        if kinds == {tuple}:
            return _lists(given.each)
        return _converted(given, command_line), _converted(given, _words)

    def _numbered(self, numbers: Mapping[Spec, int]) -> Column:
        spec = self._given["spec"]
        if spec.each is None:
            return Column(numbers[spec.value])
        by_identity = {id(one): numbers[one] for one in self.specs}
        return Column(None, [by_identity[id(one)] for one in spec.each])

    @cached_property
    def _ready(self) -> Column:
        return self._derived((*AT_BIRTH, "state", "held"), lambda job: int(is_ready(job, self._now)))

    def _derived(self, sources: Iterable[str], derive: Callable[[Job], Any]) -> Column:
        """What follows from these columns: one value, if each of them has one."""
        if all(self._given[name].each is None for name in sources):
            return Column(derive(self.jobs[0]))
        return Column(None, list(map(derive, self.jobs)))


def _column(values: Sequence[Any]) -> Column:
    first = values[0]
    return Column(first) if values.count(first) == len(values) else Column(first, values)


def _converted(column: Column, convert: Callable[[Any], Any] | None) -> Column:
    if convert is None:
        return column
    if column.each is None:
        return Column(convert(column.value))
    return Column(None, list(map(convert, column.each)))


def _lists(commands: Sequence[tuple[str, ...]]) -> tuple[Column, Column]:
    """The columns `command` and `words` of commands that are lists of words, mostly plain ones."""
    lines, words = [], []
    word = f"[{re.escape(PLAIN)}]+"  # it means the same to a shell and in JSON as it is
    is_plain = re.compile(f"{word}(?: {word})*").fullmatch
    for command in commands:
        line = " ".join(command)
        if line.count(" ") == len(command) - 1 and is_plain(line):
            lines.append(line)
            words.append('["' + line.replace(" ", '", "') + '"]')
        else:
            lines.append(command_line(command))
            words.append(json.dumps(command))
    return Column(None, lines), Column(None, words)


def _words(command: str | tuple[str, ...]) -> str | None:
    return None if isinstance(command, str) else json.dumps(command)


_PLAIN: Mapping[str, Callable[[Any], Any]] = {
    "state": lambda state: state._value_,
    **dict.fromkeys(FLAGS, int),
    **dict.fromkeys(LISTS, list_text),
}
"""How the values of a column become those that a driver knows at once."""

_UNGUARDED = {name: Job._field_defaults[name] for name in GUARDED if name in Job._fields}
_GUARDED_OF_SPEC = [name for name in GUARDED if name not in Job._fields]
_UNGUARDED_SPEC = [Spec._field_defaults[name] for name in _GUARDED_OF_SPEC]


def _of_spec(spec: Spec) -> list[Any]:
    return [getattr(spec, name) for name in _GUARDED_OF_SPEC]
