"""Adds many jobs that were read before. They are made as they are written, and again as they are told of: never are all
of them in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pickle import dumps, loads

from queuectl import ids
from queuectl.client.acting import taken_back
from queuectl.client.conflicts import add, as_added
from queuectl.client.enqueueing import check_units, check_units_of, factory_of
from queuectl.client.values import Progress
from queuectl.domain.dependency import parse
from queuectl.domain.errors import Conflict, IdTaken, IdTwice, Invalid, KeyTaken, KeyTwice, NotFound
from queuectl.domain.job import Job
from queuectl.domain.unique import ADDED, Rule
from queuectl.factory import JobFactory
from queuectl.store.arrivals import Admitted, Arrival
from queuectl.store.batches import BatchLimits
from queuectl.store.port import Store
from queuectl.typed import Any
from queuectl.wire.kinds import check_rule
from queuectl.wire.reading import Piece, Requests
from queuectl.wire.requests import NOTHING, JobRequest
from queuectl.wire.spool import Spool

_AT = Job._fields.index("generated_id")


class Incoming:
    """The new jobs of what was read, each time with the same ids and times."""

    def __init__(self, requests: Requests, factory: JobFactory) -> None:
        self.requests = requests
        self._factory = factory
        self._secret = ids.secret()
        self.progress: Progress | None = None

    def __len__(self) -> int:
        return len(self.requests)

    def __iter__(self) -> Iterator[Job]:
        done = 0
        for jobs in self.pages():
            yield from jobs
            done += len(jobs)
            if self.progress:
                self.progress(done)

    def arrivals(self, rule: Rule | None) -> Iterator[list[Arrival]]:
        """The jobs with their rules (`rule` if one gives none), in lists of at most a thousand."""
        for jobs, piece in zip(self.pages(), self.requests.pieces(), strict=True):
            kinds = [piece.kinds[at] for at in piece.which or [0] * len(jobs)]
            yield [Arrival(job, kind.on_conflict or rule, kind.delay) for job, kind in zip(jobs, kinds, strict=True)]

    def numbered(self) -> Iterator[tuple[int, Job]]:
        """The jobs with their numbers."""
        for jobs, piece in zip(self.pages(), self.requests.pieces(), strict=True):
            yield from zip(piece.numbers, jobs, strict=True)

    def pages(self) -> Iterator[list[Job]]:
        """The jobs in lists of at most a thousand."""
        first = 0
        for piece in self.requests.pieces():
            yield self._made(piece, first)
            first += len(piece.commands)

    def ids(self) -> Iterator[list[str]]:
        """The ids of the jobs, in the same lists."""
        first = 0
        for piece in self.requests.pieces():
            drawn = self._drawn(piece, first)
            yield drawn if piece.ids is None else [own or id for own, id in zip(piece.ids, drawn, strict=True)]
            first += len(drawn)

    def limits(self) -> BatchLimits:
        """What they say of their batches."""
        limits = BatchLimits()
        for piece in self.requests.pieces() if self.requests.has_limits else ():
            for kind in piece.kinds:
                limits.add(kind)
        return limits

    def samples(self, key: str | None = None) -> Iterator[Job]:
        """One job of each kind, at least once; with `key`, only of those that have this column."""
        for piece in self.requests.pieces():
            yield from (self._factory.job(kind) for kind in piece.kinds if key is None or key in kind.columns)

    def _made(self, piece: Piece, first: int) -> list[Job]:
        new, commands = tuple.__new__, piece.commands
        drawn = self._drawn(piece, first)
        rests = [self._rest(kind) for kind in piece.kinds]
        if piece.ids is None and piece.which is None:
            rest = rests[0][1]
            return [new(Job, (id, command, *rest)) for id, command in zip(drawn, commands, strict=True)]
        given, which = piece.ids or [None] * len(drawn), piece.which or [0] * len(drawn)
        return [
            new(Job, (own or id, command, *rests[kind][own is None]))
            for id, own, command, kind in zip(drawn, given, commands, which, strict=True)
        ]

    def _drawn(self, piece: Piece, first: int) -> list[str]:
        return ids.job_ids(self._secret, first, len(piece.commands), len(self))

    def _rest(self, kind: JobRequest) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """What follows id and command in a job of this kind: with an id of its own, and with a generated one."""
        rest = self._factory.job(kind)[2:]
        own, generated = list(rest), list(rest)
        own[_AT - 2], generated[_AT - 2] = False, True
        return tuple(own), tuple(generated)


class Added:
    """What became of jobs that were added together, in their order, to be looked at any number of times."""

    def __init__(
        self, incoming: Incoming, met: Spool | None = None, new: int = 0, arrived: Mapping[str, Job] = NOTHING
    ) -> None:
        """`met`: what became of each, in pages, unless they all are new. `new`: how many of them are. `arrived`: those
        new ones that are not as they were given any more, by their id."""
        self._incoming = incoming
        self._met = met
        self.arrived = arrived
        self.new = len(incoming) if met is None else new

    @property
    def others(self) -> int:
        """How many met another job."""
        return len(self._incoming) - self.new

    def admitted(self) -> Iterator[Sequence[Admitted]]:
        """What became of each, in lists of at most a thousand; of those that met others, if any did."""
        return iter(()) if self._met is None else map(loads, self._met)

    def pages(self) -> Iterator[Sequence[Job]]:
        """The jobs that are there now, in lists of at most a thousand; those that were there before have a `seq`."""
        pages = self._incoming.pages() if self._met is None else ([job for job, _ in page] for page in self.admitted())
        arrived = self.arrived
        if not arrived:
            return pages
        return ([as_added(job, arrived) if job.id in arrived else job for job in page] for page in pages)

    def new_ids(self) -> Iterator[Sequence[str]]:
        """The ids of the new ones, in lists."""
        if self._met is None:
            return self._incoming.ids()
        return ([job.id for job, fate in page if fate in ADDED] for page in self.admitted())

    def samples(self) -> Iterator[Job]:
        """One job of each kind that was given, at least once."""
        return self._incoming.samples()


def enqueue(
    store: Store, who: str, requests: Requests, on_conflict: str | None, progress: Progress | None = None,
    rehearsed: bool = False,
) -> Added:  # fmt: skip
    """Adds jobs, all or none, or if it is only `rehearsed` none in the end. Raises `Conflict` with the line of a taken
    id or key."""
    if rehearsed:
        return taken_back(store, lambda: enqueue(store, who, requests, on_conflict, progress))
    rule = None if on_conflict is None else check_rule(on_conflict, "on_conflict")
    incoming = Incoming(requests, factory_of(store, who))
    try:
        check_units(store, incoming.samples("locks"))
    except Invalid as error:
        raise _lacking(store, incoming, error) from None
    if requests.quotes:
        for job in incoming.samples():
            _check_shell(job.spec.shell)
    incoming.progress = progress
    try:
        with incoming.limits().kept(store):
            return _added(store, incoming, rule)
    except (IdTaken, IdTwice) as error:
        raise requests.blamed(error) from None
    except (KeyTaken, KeyTwice) as error:
        raise _blamed(incoming, error) from None
    except NotFound as error:
        raise _missing(incoming, error) from None
    finally:
        incoming.progress = None


def _added(store: Store, incoming: Incoming, rule: Rule | None) -> Added:
    requests = incoming.requests
    if requests.is_plain and (rule is not Rule.IGNORE or not requests.has_ids):
        return Added(incoming, arrived=store.insert(incoming))
    met, new = Spool(), 0
    with store.transaction(), store.together() as arrived:
        for arrivals in incoming.arrivals(rule):
            page = add(store, arrivals)
            new += sum(1 for _, fate in page if fate in ADDED)
            met.add(dumps(page))
    return Added(incoming, met, new, arrived)


def _blamed(incoming: Incoming, error: KeyTaken | KeyTwice) -> Conflict:
    """The error, with the line of the key."""
    found = ((number, job.id) for number, job in incoming.numbered() if job.unique_key == error.key)
    number, id = next(found)
    again = next(found, None)
    is_twice = again is not None and (isinstance(error, KeyTwice) or error.holder.partition(" ")[0] == id)
    requests = incoming.requests
    where = f"{requests.name} {requests.kind}"
    if again is not None and is_twice:
        twice = KeyTwice(error.key)
        told = f"{where} {again[0]}: {twice.message}, in {requests.kind} {number} too"
        return Conflict(told, twice.hint_and(requests.so_far))
    return Conflict(f"{where} {number}: {error.message}", error.hint_and(requests.so_far))


def _missing(incoming: Incoming, error: NotFound) -> NotFound:
    """The error, with the line of the job that depends on what is not there."""
    requests = incoming.requests
    for number, job in incoming.numbered():
        if any(f"no {parse(each).what}" == error.message for each in job.depends_on):
            where = f"{requests.name} {requests.kind} {number}"
            return NotFound(f"{where}: {error.message}", error.hint_and(requests.so_far))
    return error


def _lacking(store: Store, incoming: Incoming, found: Invalid) -> Invalid:
    """The error for the first job that needs more units than a lock has, with its line."""
    requests, locks = incoming.requests, {lock.name: lock for lock in store.locks()}
    for number, job in incoming.numbered():
        try:
            check_units_of(job, locks)
        except Invalid as error:
            where = f"{requests.name} {requests.kind} {number}"
            return Invalid(f"{where}: {error.message}", error.hint_and(requests.so_far))
    return found  # somebody has raised the lock since


SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "ksh93", "mksh", "yash", "zsh"})
"""Shells that read a quoted word as we write it."""


def _check_shell(path: str) -> None:
    if (name := os.path.basename(path)) not in SHELLS:
        raise Invalid(f"no rule is known by which {name} reads quoted words", "use --shell sh, or pass {} with --env")
