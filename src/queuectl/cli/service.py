"""`service …`: a worker, and the server, under systemd."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from pwd import getpwnam, getpwuid
from shutil import which
from types import SimpleNamespace

from queuectl import program
from queuectl.cli import units
from queuectl.cli.call import Call
from queuectl.cli.command import function_of
from queuectl.cli.options import words_of
from queuectl.cli.table import SERVER
from queuectl.cli.units import Choices
from queuectl.client.here import login_name
from queuectl.domain.errors import Invalid, NotFound, OperationFailed, SystemFailure
from queuectl.engine.dispatch.release import objection
from queuectl.places import is_server, locate_store, shown
from queuectl.typed import Any
from queuectl.wire.kinds import JsonObject
from queuectl.wire.workers import read_options
from queuectl.wire.workers import words_of as words_of_worker

SYSTEM_FOLDER = Path("/etc/systemd/system")


def print_units(call: Call) -> int:
    """Prints the units."""
    found = _units(call, _choices(call))
    if call.console.as_json:
        call.console.json(found)
    else:
        call.console.print("\n".join(f"# {name}\n{text}" for name, text in found.items()).rstrip("\n"))
    return 0


def install(call: Call) -> int:
    """Writes the units and starts them."""
    choices, systemctl = _choices(call), _systemctl(call)
    if choices.is_system and os.getuid() != 0:
        raise Invalid("a system service is installed by root", "run it with sudo, or leave out --system")
    folder = _folder(choices.is_system)
    found = _units(call, choices)
    _run([*systemctl, "daemon-reload"])  # here may be no systemd, or no session of this user
    _try(choices, with_server=call.args.serve)
    before = {name: (folder / name).read_text() for name in found if (folder / name).is_file()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in found.items():
            (folder / name).write_text(text)
    except OSError as error:
        raise SystemFailure(f"cannot write to {folder}: {error.strerror}") from None
    started = [*units.instances(choices), *([units.SERVER] if call.args.serve else [])]
    _run([*systemctl, "daemon-reload"])
    _run([*systemctl, "enable", "--now", *started])
    _told(call, "started", started)
    if any(before[name] != found[name] for name in before):
        again = " ".join([*systemctl, "restart", *started])
        call.console.note(f"what ran already has its earlier options; to give it these: {again}", "info")
    lingers = os.getuid() == 0 or Path("/var/lib/systemd/linger", login_name()).exists()
    if not choices.is_system and not lingers:
        hint = f"loginctl enable-linger {login_name()}"
        call.console.note(f"it ends with your last session; to have it run from boot on: {hint}", "info")
    return 0


def status(call: Call) -> int:
    """Shows what systemd says about them."""
    names = _installed(call)
    if call.console.as_json:
        shown = _run([*_systemctl(call), "show", "--property=Id,ActiveState,SubState,MainPID", *names])
        call.console.json_array(map(_unit_to_json, shown.strip().split("\n\n")))
        return 0
    return subprocess.run([*_systemctl(call), "--no-pager", "status", *names], check=False).returncode


def _unit_to_json(shown: str) -> JsonObject:
    """A unit of `systemctl show`; without a process, `pid` is null."""
    of = dict(line.partition("=")[::2] for line in shown.splitlines())
    pid = int(of["MainPID"]) or None
    return {"name": of["Id"], "state": of["ActiveState"], "detail": of["SubState"], "pid": pid}


def remove(call: Call) -> int:
    """Stops them and removes their units."""
    systemctl, names = _systemctl(call), _installed(call)
    _run([*systemctl, "disable", "--now", *names])
    folder = _folder(call.args.system)
    for name in (units.WORKER, units.PER_QUEUE, units.SERVER):
        (folder / name).unlink(missing_ok=True)
    _run([*systemctl, "daemon-reload"])
    _told(call, "removed", names)
    return 0


def _told(call: Call, done: str, names: Sequence[str]) -> None:
    if call.console.as_json:
        call.console.json({done: list(names)})
    else:
        call.console.lines(name if call.console.quiet else f"{done} {name}" for name in names)


def _choices(call: Call) -> Choices:
    args = call.args
    store = locate_store(call.db)
    if is_server(store):
        if shown(store) != store:
            hint = "put it into ~/.pgpass (see docs/fleet.md) and leave it out of the address"
            raise Invalid("a unit is no place for a password", hint)
    else:
        store = os.path.abspath(store)
    options = read_options(vars(args))
    if args.per_queue and not args.queues:
        raise Invalid("--per-queue needs the queues", "name each with --queue")
    if args.user and not args.system:
        raise Invalid("--user is for a system service", "add --system, or leave it out")
    return Choices(
        program=tuple(program.command()), address=store, is_system=args.system, worker=options,
        server=_server_words(args), per_queue=args.per_queue, tidy=args.tidy, user=args.user,
    )  # fmt: skip


def _server_words(args: SimpleNamespace) -> list[str]:
    """The options of the server. Raises `Invalid`."""
    words = words_of(SERVER, args)
    if words and not args.serve:
        raise Invalid(f"{words[0].partition('=')[0]} is for the dashboard", "add --serve, or leave it out")
    function_of(".web.serve:check")(args)
    also = (each.partition("=") for each in args.also)
    found = {  # the service runs in another folder
        "cert": args.cert and os.path.abspath(args.cert), "key": args.key and os.path.abspath(args.key),
        "also": [f"{name}={url if is_server(url) else os.path.abspath(url)}" for name, _, url in also],
    }  # fmt: skip
    return words_of(SERVER, SimpleNamespace(**{**vars(args), **found}))


def _try(choices: Choices, *, with_server: bool) -> None:
    """Raises `OperationFailed` if what the units will start cannot start, as the user whose service it is."""
    address = ["--db", choices.address] if choices.address else []
    tried = {"worker": ["worker", "start", *words_of_worker(choices.worker)]}
    if with_server:
        tried["server"] = ["serve", *choices.server]
    for what, words in tried.items():
        said = objection([*words, *address], cwd="/", **_surroundings(choices.user))
        if said is not None:
            as_user = f" as user {choices.user}" if choices.user else ""
            raise OperationFailed(f"the {what} could not start{as_user}: {said}", "nothing was installed")


def _surroundings(user: str | None) -> dict[str, Any]:
    """The user and the variables that systemd gives to a service, for `subprocess.run`."""
    try:
        entry = getpwnam(user) if user else getpwuid(os.getuid())
    except KeyError:
        raise NotFound(f"there is no user {user}", "make one with: useradd --system, or name another one") from None
    variables = {"HOME": entry.pw_dir, "USER": entry.pw_name, "LOGNAME": entry.pw_name, "PATH": os.defpath}
    if not user:
        return {"env": variables | {"HOME": str(Path.home())}}
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return {"env": variables, "user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": groups}


def _units(call: Call, choices: Choices) -> dict[str, str]:
    return dict([units.worker_unit(choices), *([units.server_unit(choices)] if call.args.serve else [])])


def _folder(is_system: bool) -> Path:
    if is_system:
        return SYSTEM_FOLDER
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "systemd" / "user"


def _systemctl(call: Call) -> list[str]:
    if which("systemctl") is None:
        raise OperationFailed("there is no systemctl here", "print the units for another machine: service print")
    return ["systemctl", *([] if call.args.system else ["--user"])]


def _installed(call: Call) -> list[str]:
    """The units that are installed; of the template, its instances."""
    folder = _folder(call.args.system)
    names = [name for name in (units.WORKER, units.SERVER) if (folder / name).exists()]
    if (folder / units.PER_QUEUE).exists():
        listed = _run(
            [*_systemctl(call), "list-units", "--all", "--plain", "--no-legend", units.PER_QUEUE.replace("@", "@*")]
        )
        names += [line.split()[0] for line in listed.splitlines() if line.split()]
    if not names:
        raise NotFound("no service is installed", "install one with: queuectl service install")
    return names


def _run(words: Sequence[str]) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip().partition("\n")[0] or done.returncode
        hint = "log in as this user, not by su or sudo" if "--user" in words and "connect" in str(said) else ""
        raise OperationFailed(f"{' '.join(words)}: {said}", hint or "see the units alone with: queuectl service print")
    return done.stdout
