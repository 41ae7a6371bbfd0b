"""Shows and changes settings, and restores their defaults."""

from __future__ import annotations

import os

from queuectl.client.acting import note
from queuectl.client.documents import SETTING, SettingView
from queuectl.client.operation import ADMINISTRATION, SETUP, Argument, Command, Kind, plain
from queuectl.client.shapes import listed
from queuectl.domain.errors import Invalid
from queuectl.settings import SETTINGS, Settings, canonical
from queuectl.store.port import Store
from queuectl.store.values import LEASE_MIN_S
from queuectl.wire.kinds import check_text

NAMED = Argument("name", Kind({}, lambda name, _: canonical(name), canonical))
TEXT_OR_NUMBER = Kind(
    {"type": ["string", "number"]},
    lambda value, what: str(value) if type(value) in (int, float) else check_text(value, what),
)


def settings(store: Store) -> Settings:
    """The settings in force."""
    return Settings(store.config(), store.defaults)


def views(store: Store, who: str) -> list[SettingView]:
    """Every setting."""
    found = settings(store)
    return [SettingView.of(found, name) for name in SETTINGS]


SETTINGS_ALL = plain(
    "settings", "GET", "/config", ADMINISTRATION, "List settings", views, listed(SETTING.kind), "each setting"
)


def view(store: Store, who: str, name: str) -> SettingView:
    """One setting. Raises `Invalid` where there is none of this name."""
    return SettingView.of(settings(store), canonical(name))


SETTING_ONE = plain(
    "setting", "GET", "/config/{name}", ADMINISTRATION, "Show a setting", view, SETTING.kind, "the setting",
    arguments=(NAMED,), fails=(404,),
    command=Command(
        name="config get", group=SETUP, help="print one setting", said="{text}", bare="{text}",
        description="Print the value of a setting.", examples=("queuectl config get max-retries",),
    ),
)  # fmt: skip


def set_value(store: Store, who: str, name: str, value: str) -> SettingView:
    """Checks and stores a setting. Raises `Invalid`."""
    name = canonical(name)
    settings(store).check(name, value)
    if name == "lease-ttl" and store.shared_by_machines and Settings({name: value})[name] < LEASE_MIN_S:
        raise Invalid(f"lease-ttl must be at least {LEASE_MIN_S:g}s on PostgreSQL, not {value!r}")
    if name == "shell":
        _check_shell(value, here=not store.shared_by_machines)
    with store.transaction():
        store.set_config(name, value)
        note(store, who, "SettingSet", f"{name}={'***' if SETTINGS[name].is_secret else value}")
    return view(store, who, name)


def _check_shell(shell: str, *, here: bool) -> None:
    """Raises `Invalid` for what is no program, as far as that can be known. `here`: all workers are on this machine."""
    from shutil import which

    if "/" in shell and not os.path.isabs(shell):
        raise Invalid(f"shell {shell} would be looked for in each job's folder", "give its whole path, e.g. /bin/bash")
    if here and which(shell) is None:
        raise Invalid(f"shell {shell} is not a program on this machine", "e.g. /bin/bash, without options")


SET = plain(
    "set_setting", "PUT", "/config/{name}", ADMINISTRATION, "Change a setting, for jobs added later", set_value,
    SETTING.kind, "the setting", arguments=(NAMED, Argument("value", TEXT_OR_NUMBER)), fails=(404,),
    command=Command(
        name="config set", group=SETUP, help="change a setting", makes_store=True,
        said="{name} = {text}", bare="{name} = {text}",
        description="Change a setting. Settings of jobs apply to jobs added later; existing jobs keep theirs.",
        examples=("queuectl config set max-retries 5", "queuectl config set backoff-base 3"),
    ),
)  # fmt: skip


def unset_value(store: Store, who: str, name: str) -> SettingView:
    """Restores a setting's default."""
    name = canonical(name)
    store.set_config(name, None)
    return view(store, who, name)


UNSET = plain(
    "unset_setting", "DELETE", "/config/{name}", ADMINISTRATION, "Restore a setting's default", unset_value,
    SETTING.kind, "the setting", deed=("SettingUnset", "{name}"), arguments=(NAMED,), fails=(404,),
    command=Command(
        name="config unset", group=SETUP, help="restore a setting's default",
        said="{name} = {text}", bare="{name} = {text}",
        description="Restore a setting's default.", examples=("queuectl config unset max-retries",),
    ),
)  # fmt: skip
