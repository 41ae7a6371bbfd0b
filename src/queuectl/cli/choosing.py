"""Finds the jobs of a command by ids and selectors."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from types import SimpleNamespace

from queuectl.cli.call import Call
from queuectl.client.facade import Client
from queuectl.domain.errors import Invalid, NotFound, QueuectlError
from queuectl.domain.job import Job
from queuectl.domain.selector import Selector
from queuectl.wire.selections import KEYS, ONCE, parse_selection
from queuectl.wire.times import parse_duration


def selector_of(args: SimpleNamespace, now: float) -> Selector:
    """The selector that the options give."""
    given = {key: getattr(args, key) for key in KEYS if key not in ONCE}
    once = {key: [value] for key in ONCE if (value := getattr(args, key)) is not None}
    hooks = {"hooks": ["true"] if args.hooks else []}
    return parse_selection({**given, **once, **hooks}, now, lambda key: f"--{key.replace('_', '-')}")


def age_to_delete(args: SimpleNamespace) -> float:
    """`--older-than` in seconds, for deletions. Raises `Invalid` for a bare 30, which may mean 30 days."""
    from queuectl.settings import check_unit

    seconds = parse_duration(args.older_than, "--older-than")
    if seconds:
        check_unit("--older-than", args.older_than, seconds)
    return seconds


def selects(args: SimpleNamespace) -> bool:
    """Whether any selector was given."""
    return any(getattr(args, name) for name in (*KEYS, "all"))


def positive(text: str | None, what: str, most: int = 1_000_000_000, least: int = 1) -> int | None:
    """A whole number from `least` to `most`, or None."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not least <= int(text[:12]) <= most:
        raise Invalid(f"{what} must be a whole number from {least} to {most:,}, not {text!r}")
    return int(text)


def selection(call: Call, client: Client) -> Selector:
    """What the options select, among the ids if any are given too. Raises `Invalid` if neither is given."""
    if not (selects(call.args) or call.words):
        raise Invalid("no job given", "give ids, or select jobs, e.g. --state failed, --queue video, --all")
    selector = selector_of(call.args, client.now())
    if call.words and selects(call.args):
        selector = selector._replace(ids=tuple(client.job(ref).id for ref in call.words))
    return selector


class Found:
    """The jobs of the given ids or selectors, each once, read as they are gone through. An id that does not exist
    leaves an error in `refused`."""

    def __init__(self, call: Call, client: Client) -> None:
        """Raises `Invalid` if neither ids nor selectors are given."""
        self._call = call
        self._client = client
        self._selector = selection(call, client)
        self.refused: list[QueuectlError] = []

    def __iter__(self) -> Iterator[Job]:
        return chain.from_iterable(self.pages())

    def pages(self) -> Iterator[list[Job]]:
        """The same in pages that are not empty."""
        if not selects(self._call.args):
            named = {job.seq: job for ref in self._call.words if (job := self._named(ref)) is not None}
            yield from [[*named.values()]] if named else []
            return
        nothing = True
        for jobs in self._client.selected(self._selector).pages():
            nothing = False
            yield jobs
        if nothing:
            self._call.console.note("0 jobs", "no_jobs")

    def _named(self, ref: str) -> Job | None:
        try:
            return self._client.job(ref)
        except (NotFound, Invalid) as error:
            self.refused.append(error)
            return None
