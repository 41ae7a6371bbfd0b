"""Adds many jobs that were read before. They are made as they are written, and again as they are told of: never are all
of them in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pickle import dumps, loads
from typing import Any

from queuectl import ids
from queuectl.client.enqueueing import JobFactory, check_units, insert_unknown
from queuectl.client.values import Progress
from queuectl.domain.errors import IdTaken, IdTwice
from queuectl.domain.job import Job
from queuectl.store.port import Store
from queuectl.wire.reading import Piece, Requests
from queuectl.wire.requests import JobRequest
from queuectl.wire.spool import Spool

_AT = Job._fields.index("generated_id")


class Incoming:
    """The new jobs of what was read, each time with the same ids and times."""

    def __init__(self, requests: Requests, factory: JobFactory) -> None:
        self._requests = requests
        self._factory = factory
        self._secret = ids.secret()
        self.progress: Progress | None = None

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[Job]:
        done = 0
        for jobs in self.pages():
            yield from jobs
            done += len(jobs)
            if self.progress:
                self.progress(done)

    def pages(self) -> Iterator[list[Job]]:
        """The jobs in lists of at most a thousand."""
        first = 0
        for piece in self._requests.pieces():
            yield self._made(piece, first)
            first += len(piece.commands)

    def ids(self) -> Iterator[list[str]]:
        """The ids of the jobs, in the same lists."""
        first = 0
        for piece in self._requests.pieces():
            drawn = self._drawn(piece, first)
            yield drawn if piece.ids is None else [own or id for own, id in zip(piece.ids, drawn, strict=True)]
            first += len(drawn)

    def samples(self) -> Iterator[Job]:
        """One job of each kind, at least once."""
        for piece in self._requests.pieces():
            yield from map(self._factory.job, piece.kinds)

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

    def __init__(self, incoming: Incoming, found: Spool | None = None, there: int = 0) -> None:
        """`found`: pages of the jobs that are in the place of those given, unless they all are new. `there`: how many
        of them were there before."""
        self._incoming = incoming
        self._found = found
        self.there = there
        self.new = len(incoming) - there

    def pages(self) -> Iterator[Sequence[Job]]:
        """The jobs that are there now, in lists of at most a thousand; those that were there before have a `seq`."""
        return self._incoming.pages() if self._found is None else map(loads, self._found)

    def new_ids(self) -> Iterator[Sequence[str]]:
        """The ids of the new ones, in lists."""
        if self._found is None:
            return self._incoming.ids()
        return ([job.id for job in jobs if not job.seq] for jobs in self.pages())

    def samples(self) -> Iterator[Job]:
        """One job of each kind that was given, at least once."""
        return self._incoming.samples()


def enqueue(
    store: Store, factory: JobFactory, requests: Requests, on_conflict: str, progress: Progress | None = None
) -> Added:
    """Adds jobs, all or none. Raises `Conflict` with the line of a taken id."""
    incoming = Incoming(requests, factory)
    check_units(store, incoming.samples())
    incoming.progress = progress
    try:
        if on_conflict != "ignore" or not requests.has_ids:
            store.insert(incoming)
            return Added(incoming)
        found, there = Spool(), 0
        with store.transaction():
            for jobs in incoming.pages():
                met = insert_unknown(store, jobs)
                there += sum(1 for job in met if job.seq)
                found.add(dumps(met))
        return Added(incoming, found, there)
    except (IdTaken, IdTwice) as error:
        raise requests.blamed(error) from None
    finally:
        incoming.progress = None
