"""`export`, `import`: jobs as lines of JSON."""

from __future__ import annotations

from queuectl.cli.bulk import Unreadable, opened, reading
from queuectl.cli.call import Call
from queuectl.cli.choosing import selector_of
from queuectl.client import exchanging
from queuectl.clock import SystemClock
from queuectl.domain.errors import Invalid
from queuectl.wire.words import counted


def export(call: Call) -> int:
    """Writes jobs to a file or to stdout."""
    console, path = call.console, call.words[0] if call.words else "-"
    with call.client() as client:
        selector = selector_of(call.args, client.now())
        if path == "-":
            number = client.export(selector, console.screen.out)
        else:
            try:
                with exchanging.new_file(path, call.args.replace) as file:
                    number = client.export(selector, file, console.progress("exported"))
            finally:
                console.progress_done()
    if path != "-":
        console.answer({"path": path, "jobs": number}, path, f"exported {counted(number, 'job')} to {path}")
    elif not number:
        console.note("0 jobs", "no_jobs")
    return 0


def import_jobs(call: Call) -> int:
    """Adds exported jobs as they were."""
    console, path = call.console, call.words[0]
    name = "stdin" if path == "-" else path
    try:
        with opened(path) as file:
            taken = exchanging.read(file, name, SystemClock().now(), reading(call, file))
    except (Unreadable, OSError) as error:
        raise Invalid(f"cannot read {name}: {error}", "give a file that `export` has made, or - for stdin") from None
    finally:
        console.progress_done()
    number = _taken_in(call, taken) if taken.count else 0
    console.answer({"imported": number}, str(number), f"imported {counted(number, 'job')}")
    return 0


def _taken_in(call: Call, taken: exchanging.Taken) -> int:
    try:
        with call.client() as client:
            return client.take_in(taken, call.console.progress("imported", taken.count))
    finally:
        call.console.progress_done()
