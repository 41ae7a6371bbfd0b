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

NUMBER_MAX = 1_000_000_000


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


def positive(text: str | None, what: str, least: int = 1) -> int | None:
    """A whole number from `least` to a billion, or None."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not least <= int(text[:12]) <= NUMBER_MAX:
        raise Invalid(f"{what} must be a whole number from {least} to {NUMBER_MAX:,}, not {text!r}")
    return int(text)


def limit_of(args: SimpleNamespace) -> int | None:
    """`--limit N`; None if it is not given, or `all`."""
    return None if args.limit == "all" else positive(args.limit, "--limit")


def selection(call: Call, client: Client) -> Selector:
    """What the options select, among the ids if any are given too. Raises `Invalid` if neither is given."""
    if not (selects(call.args) or call.words):
        raise Invalid("no job given", "give ids, or select jobs, e.g. --state failed, --queue video, --all")
    return among_ids(call, client) if selects(call.args) else selector_of(call.args, client.now())


def among_ids(call: Call, client: Client) -> Selector:
    """What the options select, of the jobs that are named if any are. Raises `NotFound`."""
    selector = selector_of(call.args, client.now())
    return selector._replace(ids=tuple(client.job(ref).id for ref in call.words)) if call.words else selector


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
