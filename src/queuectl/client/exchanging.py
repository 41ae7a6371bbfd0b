"""Jobs as lines of JSON, out of a store and into another one, however many they are."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import repeat
from pickle import dumps, loads
from typing import IO

from queuectl import ids
from queuectl.client.acting import note
from queuectl.client.enqueueing import check_units
from queuectl.client.looking import pages
from queuectl.client.placing import new_place
from queuectl.client.values import Progress
from queuectl.domain.batch import lock_of, with_lock, without_lock
from queuectl.domain.errors import Conflict, IdTaken, IdTwice, Invalid, KeyTaken, KeyTwice, NotFound, SystemFailure
from queuectl.domain.job import Job
from queuectl.domain.selector import Selector
from queuectl.settings import Settings
from queuectl.store.port import Store
from queuectl.wire.documents import LINE_BYTES_MAX, Documents, documents_in
from queuectl.wire.exported import AsTheyWere
from queuectl.wire.listing import JobTexts
from queuectl.wire.spool import Spool

PAGE = 1000


def export(store: Store, selector: Selector, out: IO[str], progress: Progress | None) -> int:
    """Writes matching jobs, a line each, in the order of enqueueing. Returns how many."""
    texts, number = JobTexts(plain=False), 0
    for page in pages(store, selector):
        if page:
            out.write("\n".join(texts.of(page, list(repeat(None, len(page))))) + "\n")
            number += len(page)
            if progress:
                progress(number)
    return number


@contextmanager
def new_file(path: str, replace: bool) -> Iterator[IO[str]]:
    """A text file for its owner alone, which is there once it is whole. Raises `Conflict` if one is there already,
    unless `replace`, and for a store."""
    path = new_place(path, replace, "jobs.jsonl")
    try:
        handle, made = tempfile.mkstemp(prefix=".export-", dir=os.path.dirname(path))
    except OSError as error:
        raise SystemFailure(f"cannot write to {os.path.dirname(path)}: {error.strerror}") from None
    try:
        with open(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
            yield file
            file.flush()
            os.fsync(handle)
        os.replace(made, path)
    except BaseException as error:
        os.unlink(made)
        if isinstance(error, OSError):
            raise SystemFailure(f"cannot write {path}: {error.strerror or error}", "nothing was exported") from None
        raise


def read(file: IO[bytes], name: str, now: float, progress: Progress | None = None) -> Taken:
    """The jobs of a file that `export` has made. Raises `Invalid` with the line of the first that is wrong."""
    return Taken(documents_in(iter(partial(file.readline, LINE_BYTES_MAX), b"")), name, now, progress)


class Taken:
    """Exported jobs that were read and found right, to be added. `name` is their file."""

    def __init__(self, documents: Documents, name: str, now: float, progress: Progress | None = None) -> None:
        """Reads all of them. Raises `Invalid` with the line of the first that is wrong."""
        self.name, self.kind = name, documents.kind
        self.count = 0
        self._spool = Spool()
        numbers, jobs, lines = list[int](), list[Job](), AsTheyWere(now)
        for number, raw in documents.numbered:
            try:
                jobs.append(lines.job(documents.decode(raw)))
            except Invalid as error:
                told = f"{name}, {self.kind} {number}: {error.message}"
                raise Invalid(told, error.hint_and("nothing was imported")) from None
            numbers.append(number)
            if len(jobs) == PAGE:
                self._keep(numbers, jobs)
                if progress:
                    progress(self.count)
        self._keep(numbers, jobs)

    def _keep(self, numbers: list[int], jobs: list[Job]) -> None:
        if jobs:
            self._spool.add(dumps((numbers, jobs)))
            self.count += len(jobs)
            numbers.clear()
            jobs.clear()

    def pages(self) -> Iterator[tuple[Sequence[int], Sequence[Job]]]:
        """The jobs with the numbers of their lines."""
        yield from map(loads, self._spool)

    def where(self, job_id: str) -> str:
        """The lines of a job, for an error."""
        found = [number for numbers, jobs in self.pages() for number, job in zip(numbers, jobs, strict=True)
                 if job.id == job_id]  # fmt: skip
        return f"{self.name}, {self.kind} {' and '.join(map(str, found[:2]))}: "


def _fitting(store: Store, job: Job, name: str, limits: dict[str, bool]) -> Job:
    """A job with the lock of its batch if that has a limit here, and else without it: limits do not come along. Raises
    `Invalid` if one that is unfinished needs more units of a lock than there are. `name` is the file that it is from;
    `limits`: which batches have a limit, as far as is known."""
    if job.batch is not None:
        if job.batch not in limits:
            limits[job.batch] = store.at_most(job.batch) is not None
        fit = with_lock if limits[job.batch] else without_lock
        job = job._replace(locks=fit(job.locks, lock_of(job.batch)))
    if job.finished or not job.locks:
        return job
    try:
        check_units(store, [job])
    except Invalid as error:
        raise Invalid(f"{name}: {error.message}", error.hint_and("nothing was imported")) from None
    return job


def take_in(store: Store, who: str, taken: Taken, progress: Progress | None = None) -> int:
    """Adds the jobs as they were, all or none. Returns how many. Raises `Conflict` for an id or a key that is taken,
    and `NotFound` for what a job waits for, with the line."""
    captured = tuple(Settings(store.config(), store.defaults)["env-capture"])
    limits = dict[str, bool]()

    def pages_of() -> Iterator[list[Job]]:
        done = 0
        for _, jobs in taken.pages():
            specs = {id(job.spec): job.spec._replace(captured=captured) for job in jobs}
            made = [job._replace(spec=specs[id(job.spec)], generated_id=ids.may_be_drawn(job.id)) for job in jobs]
            yield [_fitting(store, job, taken.name, limits) for job in made]
            done += len(jobs)
            if progress:
                progress(done)

    try:
        with store.transaction():
            number = store.take_in(pages_of())
            note(store, who, "Imported", f"{number} jobs from {taken.name}")
    except (IdTaken, IdTwice) as error:
        hint = "delete that job first, or import into another store"
        hint = "keep one of the lines" if isinstance(error, IdTwice) else hint
        raise Conflict(taken.where(error.id) + error.message, f"{hint}; nothing was imported") from None
    except (KeyTaken, KeyTwice) as error:
        raise Conflict(f"{taken.name}: {error.message}", error.hint_and("nothing was imported")) from None
    except NotFound as error:
        raise NotFound(
            f"{taken.name}: {error.message}, which another job waits for", "export that job too; nothing was imported"
        ) from None
    return number
