"""`backup`, `restore`."""

from __future__ import annotations

from queuectl.cli.call import Call
from queuectl.cli.notes import note_tokens
from queuectl.domain.selector import Selector
from queuectl.places import locate_store, shown
from queuectl.wire.words import counted, size


def backup(call: Call) -> int:
    """Writes everything into one file."""
    console = call.console
    with call.client() as client:
        try:
            saved = client.backup(call.words[0], replace=call.args.replace, progress=console.progress("saved"))
        finally:
            console.progress_done()
    told = f"saved {counted(saved.rows['jobs'], 'job')} in {saved.path} ({size(saved.size)})"
    console.answer({"path": saved.path, "bytes": saved.size, "rows": saved.rows}, saved.path, told)
    return 0


def restore(call: Call) -> int:
    """Makes the store from a backup."""
    from queuectl.client.backups import restore as restored
    from queuectl.client.here import login_name
    from queuectl.client.tokens import names_in

    console, args, address = call.console, call.args, locate_store(call.db)
    place = shown(address)
    question, unasked = f"put it in the place of all jobs of {place}?", f"all jobs of {place} would be removed"
    if args.replace and not console.confirmed(question, args.yes, unasked):
        return 1
    gone = names_in(address) if args.replace else []
    try:
        progress = console.progress("restored")
        rows = restored(address, login_name(), call.words[0], replace=args.replace, progress=progress)
    finally:
        console.progress_done()
    told = f"restored {counted(rows['jobs'], 'job')} to {place}, and compared"
    console.answer({"store": place, "rows": rows}, place, told)
    resume = call.command("queue resume --all")
    console.note(f"all queues are paused; look, then: {resume}", "queue_paused")
    if rows["schedules"]:
        resume = call.command("schedule resume NAME")
        console.note(f"so are all schedules; start each with: {resume}", "schedules_paused")
    note_tokens(call, gone, "tokens of the store before are gone", call.db)
    with call.client() as client:
        held = client.count(Selector(held=True, hooks=True))
    if held:
        run, drop = call.command("release --hooks --all"), call.command("cancel --hooks --all")
        console.note(f"{counted(held, 'hook')} held, to be run by: {run}; or dropped by: {drop}", "hooks_held")
    return 0
