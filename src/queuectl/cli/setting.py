"""`set`: changes what jobs are to do, by `KEY=VALUE` words. `move`: changes their order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from queuectl.cli.acting import act
from queuectl.cli.call import Call
from queuectl.cli.changed import print_changed
from queuectl.cli.notes import NOTES_MAX, note_missing, note_paused, note_unserved
from queuectl.cli.options import FLAGS
from queuectl.client.actions import setting
from queuectl.client.facade import Client
from queuectl.client.values import Changed
from queuectl.clock import SystemClock
from queuectl.domain.errors import Invalid
from queuectl.domain.fields import SETTABLE
from queuectl.domain.job import Job
from queuectl.store.selections import Refs
from queuectl.wire.kinds import NONE, JsonObject
from queuectl.wire.requests import ALIASES, LIFTABLE, REPLACE

PATHS = frozenset(("cwd", "stdin", "output_path", "shell"))
"""Keys whose value may be missing here."""
_KINDS = {field.name: field.kind for field in SETTABLE}
_NAMES = {**ALIASES, **{flag[2:].replace("-", "_"): key for key, flag in FLAGS.items()}}
"""Other names of keys: of their options."""


def set_keys(call: Call) -> int:
    """Changes jobs that are not running."""
    refs = [word for word in call.words if "=" not in word]
    changes = given(word for word in call.words if "=" in word)  # no id has one
    if call.after is not None:
        if "command" in changes:
            raise Invalid("command= and a command after -- exclude each other", "give one of them")
        changes["command"] = list(call.after)
    if call.args.replace is not None:
        changes[REPLACE] = dict(zip(("old", "new"), call.args.replace, strict=True))
    if not changes:
        raise Invalid("nothing to change", "write KEY=VALUE, such as priority=5, or --replace OLD NEW")
    action = setting(changes, SystemClock().now())

    queues: set[str] = set()
    moved: list[Job] = []

    def change(client: Client, refs: Refs) -> Changed:
        done = client.act(action, refs)
        if not PATHS.isdisjoint(changes):
            moved.extend(done.jobs[: NOTES_MAX - len(moved)])
        if "queue" in changes:
            queues.update(job.queue for job in done.jobs if not job.finished)
        return done

    def note(client: Client) -> None:
        if not call.console.quiet:
            note_missing(call, moved)
            note_paused(call, client.paused(queues))
            note_unserved(call, client.unserved(queues))

    return act(call._replace(words=refs), action, change, note)


def move(call: Call) -> int:
    """Moves a job in line."""
    front, before = call.args.front, call.args.before
    if front and before is not None:
        raise Invalid("--front and --before exclude each other", "give one of them")
    if not front and before is None:
        raise Invalid("say where to", "write --front, or --before ID")
    with call.client() as client:
        print_changed(call.console, client, [[client.move(call.words[0], before=before, front=front)]], "moved")
    return 0


def given(words: Iterable[str]) -> JsonObject:
    """The keys that `KEY=VALUE` words set, as JSON. A list has commas between; `none` or nothing empties a key;
    `env=-NAME` takes a variable away."""
    found: JsonObject = {}
    for word in words:
        typed, _, text = word.partition("=")
        key = typed.replace("-", "_")
        key = _NAMES.get(key, key)
        if _KINDS.get(key) == "variables":
            name, sign, value = text.partition("=")
            if not sign and not name.startswith("-"):
                raise Invalid(f"{word!r} has no value", "write it as env=NAME=VALUE, or env=-NAME to take it away")
            found.setdefault(key, {}).update({name: value} if sign else {name[1:]: None})
        elif key in found:
            raise Invalid(f"{typed} comes twice", "give it once")
        else:
            found[key] = _value(key, text)
    return found


def _value(key: str, text: str) -> str | Sequence[str] | None:
    if key in LIFTABLE and text in ("", NONE):
        return None
    if key == "script":
        from queuectl.cli import scripts

        return scripts.read(text).text
    return text.split(",") if _KINDS.get(key) in ("names", "locks", "secrets") else text
