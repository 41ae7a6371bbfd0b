"""`events`, `report`: what has happened, for people and programs."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice

from queuectl.cli.call import Call
from queuectl.cli.choosing import selector_of
from queuectl.cli.history import OUTCOME_STYLES
from queuectl.cli.render import Column, visible
from queuectl.client.accounting import COLUMNS, Used, columns_of
from queuectl.client.documents import deed_words, news_to_json
from queuectl.domain.errors import Invalid
from queuectl.store.past import News
from queuectl.wire.times import format_duration, parse_duration
from queuectl.wire.words import counted, local_time, peak, size

EVENTS_MAX = 1000
PART = 500
SHOWN = (
    "id",
    "attempt",
    "queue",
    "outcome",
    "exit_code",
    "started_at",
    "wait",
    "run",
    "cpu_time",
    "max_rss",
    "command",
)
"""The columns for people, who can name others."""


# --- events ---------------------------------------------------------------------------------


def events(call: Call) -> int:
    """Prints what has happened, and with --follow what happens from now on."""
    console, args = call.console, call.args
    window_s = parse_duration(args.since, "--since")
    with call.client() as client:
        if args.follow:
            with closing(client.watch(say=lambda message: console.note(message, "store"))) as watching:
                for news in watching.happening(window_s, EVENTS_MAX):
                    console.interruptible()
                    _print(call, news)
        found, left = client.events(window_s, EVENTS_MAX)
        if console.as_json:
            console.json_array(map(news_to_json, found))
            return 0
        _print(call, found)
        if left:
            console.note(f"only the latest {EVENTS_MAX:,} are shown", "more")
        elif not found:
            console.note(f"nothing has happened within {format_duration(window_s)}", "no_events")
    return 0


def _print(call: Call, news: Iterable[News]) -> None:
    """A line each; as JSON one object a line, since more may follow."""
    console = call.console
    console.lines(json.dumps(news_to_json(each)) if console.as_json else _line(call, each) for each in news)
    console.flush()


def _line(call: Call, news: News) -> str:
    what = deed_words(news.kind)
    if news.number is not None and news.kind == "started":
        what = f"attempt {news.number} started on {news.worker}"
    elif news.outcome is not None:
        how = "" if news.error is None else f": {visible(news.error)}"
        painted = call.console.paint(news.outcome.value, OUTCOME_STYLES[news.outcome])
        what = f"attempt {news.number} {painted}{how}"
    by = f" by {visible(news.who)}" if news.who else ""
    detail = f": {visible(news.detail)}" if news.detail else ""
    job = f"{news.job}  " if news.job else ""
    return f"{local_time(news.at)}  {job}{what}{by}{detail}"


# --- report ---------------------------------------------------------------------------------


def report(call: Call) -> int:
    """Prints what executions, or jobs, have used."""
    args, console = call.args, call.console
    if args.csv and args.tsv:
        raise Invalid("--csv and --tsv exclude each other", "give one of them")
    columns = columns_of(args.columns)
    with call.client() as client:
        since = None if args.since is None else client.now() - parse_duration(args.since, "--since")
        rows = client.report(selector_of(args, client.now()), by_job=args.by_job, since=since)
        if console.as_json:
            console.json_array({name: COLUMNS[name](row) for name in columns} for row in rows)
        elif args.csv or args.tsv:
            _separated(call, columns, rows, "\t" if args.tsv else ",")
        elif console.quiet:
            console.lines(row.job.id for row in rows)
        else:
            _table(call, columns if args.columns else SHOWN, rows)
    return 0


def _separated(call: Call, columns: Sequence[str], rows: Iterator[Used], separator: str) -> None:
    writer = csv.writer(call.console.screen.out, delimiter=separator, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        values = (COLUMNS[name](row) for name in columns)
        writer.writerow([" ".join(value) if isinstance(value, list) else value for value in values])


def _table(call: Call, names: Sequence[str], rows: Iterator[Used]) -> None:
    columns = [Column(name.upper().replace("_", " "), least=20 if name == "command" else 0) for name in names]
    number = 0

    def parts() -> Iterator[list[list[str]]]:
        nonlocal number
        while part := list(islice(rows, PART)):
            number += len(part)
            yield [[_shown(name, row) for name in names] for row in part]

    call.console.table_in_parts(columns, parts())
    if not number:
        call.console.note("0 executions", "no_jobs")
    elif call.console.terminal:
        call.console.note(f"{counted(number, 'row')}; all columns: --csv, or --columns NAME,…", "info")


def _shown(name: str, row: Used) -> str:
    value = COLUMNS[name](row)
    if name == "max_rss":
        return peak(value, COLUMNS["cpu_time"](row))
    if value is None:
        return ""
    if name in ("wait", "run", "cpu_time"):
        return format_duration(value)
    if name == "output_bytes":
        return size(int(value))
    if name == "started_at":
        assert row.first is not None
        return local_time(row.first.started_at)
    return visible(" ".join(value) if isinstance(value, list) else str(value))
