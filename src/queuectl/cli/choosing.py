"""Finds the jobs of a command by ids and selectors."""

from __future__ import annotations

from argparse import Namespace

from queuectl.cli.call import Call
from queuectl.client.facade import Client
from queuectl.domain.errors import Invalid, NotFound, QueuectlError
from queuectl.domain.job import Job
from queuectl.domain.selector import Selector
from queuectl.wire.selections import KEYS, parse_selection
from queuectl.wire.times import parse_duration


def selector_of(args: Namespace, now: float) -> Selector:
    """The selector that the options give."""
    given = {key: getattr(args, key) for key in KEYS if key != "older_than"}
    ages = [] if args.older_than is None else [args.older_than]
    return parse_selection({**given, "older_than": ages}, now, lambda key: f"--{key.replace('_', '-')}")


def age_to_delete(args: Namespace) -> float:
    """`--older-than` in seconds, for deletions. Raises `Invalid` for a bare 30, which may mean 30 days."""
    from queuectl.settings import check_unit

    seconds = parse_duration(args.older_than, "--older-than")
    if seconds:
        check_unit("--older-than", args.older_than, seconds)
    return seconds


def selects(args: Namespace) -> bool:
    """Whether any selector was given."""
    return any(getattr(args, name) for name in (*KEYS, "all"))


def positive(text: str | None, what: str, most: int = 1_000_000_000) -> int | None:
    """A whole number from 1 to `most`, or None."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:12]) <= most:
        raise Invalid(f"{what} must be a whole number from 1 to {most:,}, not {text!r}")
    return int(text)


def selection(call: Call, client: Client) -> Selector:
    """What the options select, among the ids if any are given too. Raises `Invalid` if neither is given."""
    if not (selects(call.args) or call.words):
        raise Invalid("no job given", "give ids, or select jobs, e.g. --state failed, --queue video, --all")
    selector = selector_of(call.args, client.now())
    if call.words and selects(call.args):
        selector = selector._replace(ids=tuple(client.job(ref).id for ref in call.words))
    return selector


def found(call: Call, client: Client) -> tuple[list[Job], list[QueuectlError]]:
    """The jobs of the given ids or selectors, and an error for each id that does not exist."""
    selector = selection(call, client)
    if selects(call.args):
        selected = client.find(selector)
        if not selected:
            call.console.note("0 jobs", "no_jobs")
        return selected, []
    jobs: list[Job] = []
    missing: list[QueuectlError] = []
    for ref in call.words:
        try:
            jobs.append(client.job(ref))
        except (NotFound, Invalid) as error:
            missing.append(error)
    return jobs, missing
