"""`init`, `migrate`, `copy`, `prune`, `doctor`, `reset`, `completion`: set-up and upkeep."""

from __future__ import annotations

import os
from pathlib import Path

from queuectl.cli.call import Call
from queuectl.cli.choosing import age_to_delete
from queuectl.cli.notes import note_tokens
from queuectl.cli.render import visible
from queuectl.client.acting import check_prunable
from queuectl.client.facade import Client
from queuectl.domain.errors import Invalid, NoStore
from queuectl.domain.job import FINISHED
from queuectl.domain.likeness import nearest
from queuectl.domain.selector import Selector
from queuectl.wire.selections import parse_states
from queuectl.wire.words import counted

PATIENCE_S = 10.0
"""How long to wait for other writers."""
LEVEL_STYLES = {"ok": "green", "note": "blue", "warning": "yellow", "problem": "red"}


def init(call: Call) -> int:
    """Makes a store in this folder, or the tables of a server."""
    from queuectl import places

    named = call.db or os.environ.get("QUEUECTL_DB", "")
    if places.is_server(named):
        return _init_server(call, named)
    path = Path(os.path.abspath(os.path.expanduser(call.db or places.LOCAL_NAME)))
    there = path.exists() and path.stat().st_size > 0
    places.open_store(str(path)).close()
    told = f"{'found' if there else 'made'} {path}"
    call.console.answer({"store": str(path), "made": not there}, str(path), told)
    _hide_from_git(call, str(path))
    if call.db is None and (other := os.environ.get("QUEUECTL_DB")):
        call.console.note(f"commands here still use another store: QUEUECTL_DB is {other}", "other_store")
    return 0


def _hide_from_git(call: Call, path: str) -> None:
    """Hides an existing store from git; a new one is hidden when it is made."""
    from queuectl.store.sqlite.connection import exclude_from_git

    try:
        if listed := exclude_from_git(os.path.realpath(path)):
            call.console.note(f"git ignores the store's files, by {listed}", "hidden_from_git")
    except OSError as error:
        reason = f"{error.filename}: {error.strerror}"
        call.console.note(f"git clean would remove the store's files: {reason}", "not_hidden_from_git")


def _init_server(call: Call, url: str) -> int:
    """Makes the tables in a database, as its first use would."""
    from queuectl import places

    made = False
    try:
        store = places.open_or_empty(url)
    except NoStore:
        store, made = places.open_store(url), True
    store.close()
    told = f"{'made' if made else 'found'} {store.url}"
    call.console.answer({"store": store.url, "made": made}, store.url, told)
    return 0


def reset(call: Call) -> int:
    """Removes the store."""
    from queuectl import places

    url = places.shown(places.locate_store(call.db))
    unasked = f"{url} would be removed with all its jobs"
    if not call.console.confirmed(f"remove {url} with all its jobs?", call.args.yes, unasked):
        return 1
    removed = places.reset_store(call.db)
    if removed is None:
        if call.console.as_json:
            call.console.json({"removed": None})
        call.console.note(f"nothing to remove: there is no store {url}", "no_store")
    else:
        call.console.answer({"removed": removed}, str(removed), f"removed {removed}")
    return 0


def migrate(call: Call) -> int:
    """Brings the store's schema up to date."""
    with call.client() as client:
        before, now = client.migrate()
        done = "is up to date" if before == now else f"brought up to date from schema {before}"
        document = {"store": client.url, "from": before, "schema": now}
        call.console.answer(document, client.url, f"{client.url} {done}: schema {now}")
    return 0


# --- copy -----------------------------------------------------------------------------------


def copy(call: Call) -> int:
    """Copies the store into another one."""
    from queuectl.client import copying
    from queuectl.client.tokens import names_in, names_of
    from queuectl.places import shown

    console, args = call.console, call.args
    if not args.to:
        raise Invalid("copy needs a place to copy to", "write: queuectl copy --to postgresql://USER@HOST/DATABASE")
    with call.client() as client:
        from_url, to_url = client.url, shown(args.to)
        question = f"stop all workers of {from_url} and copy it"
        question += f" in the place of all jobs of {to_url}?" if args.replace else "?"
        unasked = f"all jobs of {to_url} would be removed" if args.replace else ""
        if not console.confirmed(question, args.yes, unasked):
            return 1
        progress = console.progress("copied")
        left, gone = names_of(client.tokens()), names_in(args.to) if args.replace else []
        try:
            copied = copying.copy(
                client, args.to, keep=args.keep, replace=args.replace, say=console.note, progress=progress
            )
        finally:
            console.progress_done()
    told = f"copied {counted(copied['jobs'], 'job')} to {to_url}, and compared"
    console.answer({"from": from_url, "to": to_url, "rows": copied}, to_url, told)
    note_tokens(call, left, "tokens are not copied", args.to)
    note_tokens(call, gone, "tokens of the store before are gone", args.to)
    return 0


# --- prune ----------------------------------------------------------------------------------


def prune(call: Call) -> int:
    """Deletes old finished jobs."""
    console, args = call.console, call.args
    with call.client() as client:
        if args.shrink:
            client.file()  # which is refused before anything is deleted
        selectors = _prunable(call, client)
        number = client.prunable(selectors)
        if not args.dry_run:
            if number and not console.confirmed(f"delete {counted(number, 'finished job')}?", args.yes):
                return 1
            number = call.freeing(lambda: client.prune(selectors, console.progress("deleted", number))) if number else 0
            console.progress_done()
            if args.shrink:
                freed = client.shrink(PATIENCE_S)
                console.note(f"the file is {max(0, freed) >> 10} KiB smaller", "shrunk")
    told = f"{'would delete' if args.dry_run else 'deleted'} {counted(number, 'job')}"
    console.answer({"pruned": 0 if args.dry_run else number, "matching": number}, str(number), told)
    return 0


def _prunable(call: Call, client: Client) -> list[Selector]:
    """The selectors of the options, or else of the retention settings."""
    states = parse_states(call.args.state)
    check_prunable(states)
    if call.args.older_than is not None:
        before = client.now() - age_to_delete(call.args)
        return [Selector(states=states or tuple(sorted(FINISHED)), before=before, hooks=None)]
    if states:
        return [Selector(states=states, hooks=None)]
    if found := client.retention():
        return found
    if call.args.shrink:
        return []
    raise Invalid("nothing to prune by", "give --older-than 30d, or: queuectl config set retention-completed 30d")


# --- doctor ---------------------------------------------------------------------------------


def doctor(call: Call) -> int:
    """Prints the findings, each with a fix."""
    from queuectl.client import doctor as checks

    console = call.console
    if call.args.clean:
        with call.client() as client:
            for line in client.clean_up():
                console.note(line, "cleaned_up")
    findings = checks.examine(call.db)
    bad = any(finding.level == "problem" for finding in findings)
    if console.as_json:
        console.json({"ok": not bad, "findings": call.findings(findings)})
        return 1 if bad else 0
    for finding in findings:
        if console.quiet and finding.level == "ok":
            continue
        console.print(f"{console.paint(f'{finding.level:<8}', LEVEL_STYLES[finding.level])} {visible(finding.message)}")
        if finding.fix:
            console.print(f"{'':<8} fix: {visible(call.on_this_store(finding.fix))}")
    return 1 if bad else 0


# --- completion -----------------------------------------------------------------------------


def completion(call: Call) -> int:
    """Prints a completion script."""
    from queuectl import program
    from queuectl.cli.completing import SHELLS

    shell = call.words[0]
    if shell not in SHELLS:
        raise Invalid(f"no completion for {shell!r}", nearest(shell, SHELLS))
    script = program.read(f"cli/shells/queuectl.{shell}").decode()
    if call.console.as_json:
        call.console.json({"shell": shell, "script": script})
    else:
        call.console.print(script.rstrip("\n"))
    return 0
