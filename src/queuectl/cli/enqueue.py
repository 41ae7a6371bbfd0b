"""`enqueue`, `clone`: adds the job of a command line, and notes what it lacks here."""

from __future__ import annotations

from queuectl.cli.changed import print_changed
from queuectl.cli.forms import command_of, document_of, file_of, options
from queuectl.cli.keys import spelled
from queuectl.cli.notes import in_words, note_all, note_not_awaited, note_there, note_would_add
from queuectl.clock import SystemClock
from queuectl.domain.errors import Invalid
from queuectl.domain.unique import ADDED, Fate
from queuectl.typed import TYPE_CHECKING
from queuectl.wire.requests import parse_request

if TYPE_CHECKING:
    from queuectl.cli.call import Call


def enqueue(call: Call) -> int:
    """Adds jobs, all or none."""
    filename = file_of(call.args, call.words, call.after)
    if filename is not None:
        from queuectl.cli.bulk import enqueue_many

        return enqueue_many(call, filename)
    if call.args.chunk is not None:
        raise Invalid("--chunk is for many jobs", "use it with --file or --each-line")
    document = document_of(call.args, call.words, call.after)
    request = parse_request(document, SystemClock().now(), spelled(options(call.args)))
    if call.args.dry_run:
        with call.client() as client:
            ((_, fate),) = client.enqueue_each([request], rehearsed=True)
        (call.console.json_array if call.console.as_json else call.console.json_lines)([document])
        note_would_add(call, int(fate in ADDED), int(fate not in ADDED))
        return 0
    with call.client() as client:
        (admitted,) = client.enqueue_each([request])
        job, fate = admitted
        if fate in ADDED or call.console.as_json or call.console.quiet:
            print_changed(call.console, client, [[job]], "enqueued")
        elif fate is not Fate.ID_THERE:
            call.console.print(in_words(admitted))
        if fate is Fate.ID_THERE:
            note_there(call, job)
        if fate is Fate.MERGED:
            note_not_awaited(call, client, job, request.columns.get("depends_on", ()))
        note_all(call, client, [job] if fate in ADDED else [])
    return 0


def clone(call: Call) -> int:
    """Adds a copy of a job, with changes."""
    keys = options(call.args)
    typed = call.after is not None or call.args.shell_command is not None or "script" in keys
    changes = {**keys, **command_of(call.args, call.after)} if typed else keys
    whole = {"command": ["true"], "unique_key": "of the job", "batch": "of-the-job", **changes}
    parse_request(whole, SystemClock().now(), spelled(keys))  # names options
    with call.client() as client:
        job = client.clone(call.words[0], changes)
        is_there = bool(job.seq)
        if not is_there or call.console.as_json or call.console.quiet:
            print_changed(call.console, client, [[job]], "enqueued")
        note_there(call, job) if is_there else note_all(call, client, [job])
    return 0
