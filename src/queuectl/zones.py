"""Time zones by name, and which one this machine is in. Their rules are the system's, else the package `tzdata`'s."""

from __future__ import annotations

import os
import re
from datetime import UTC, tzinfo
from functools import lru_cache
from importlib.util import find_spec
from zoneinfo import TZPATH, ZoneInfo, ZoneInfoNotFoundError

from queuectl.domain.errors import Invalid, QueuectlError, SystemFailure

UTC_NAMES = frozenset({"UTC", "Etc/UTC", "UCT", "Etc/UCT", "Zulu", "Etc/Zulu", "Universal", "Etc/Universal"})
"""Names of the zone that needs no data."""
MACHINES_OWN = ("localtime", "posixrules")
"""Names under which each machine has a zone of its own."""
VARIANTS = ("posix/", "right/")
"""Folders in which some systems have all zones again: as they are, and with leap seconds, which stored times lack."""
LOCALTIME, TIMEZONE = "/etc/localtime", "/etc/timezone"


class NoZoneData(SystemFailure):
    """This machine has no rules for a zone."""

    code = "no_zone_data"


@lru_cache(maxsize=1024)
def zone(name: str) -> tzinfo:
    """The zone of this name. Raises `Invalid` if there is none, `NoZoneData` if this machine does not know."""
    if name in UTC_NAMES:
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        pass
    if not _has_data():
        raise NoZoneData(f"no time zone data on this machine, so {name!r} is not known", "install tzdata")
    from queuectl.domain.likeness import near

    meant = near(name, names())
    raise Invalid(f"unknown time zone {name[:64]!r}", f"did you mean {meant!r}?" if meant else "e.g. Europe/Berlin")


def named(name: str) -> tzinfo:
    """The zone of this name, which means the same on each machine. Raises `Invalid`, `NoZoneData`."""
    if name in MACHINES_OWN:
        raise Invalid(f"{name!r} is another time zone on each machine", "name the zone, e.g. Europe/Berlin")
    for folder in VARIANTS:
        if name.startswith(folder):
            raise Invalid(f"not every machine has a time zone {name[:64]!r}", f"write {name[len(folder) :][:64]!r}")
    return zone(name)


def is_named(name: str) -> bool:
    """Whether this is the name of a zone that a schedule may have."""
    try:
        named(name)
    except QueuectlError:
        return False
    return True


def find(name: str) -> tzinfo | None:
    """The zone of this name; None if this machine has no rules for it."""
    try:
        return zone(name)
    except QueuectlError:
        return None


def forget() -> None:
    """Has the rules read again: an update may have changed them."""
    zone.cache_clear()
    ZoneInfo.clear_cache()


def stamp() -> float:
    """Changes when the system's rules are updated."""
    found = 0.0
    for path in TZPATH:
        for name in ("tzdata.zi", "UTC", ""):
            try:
                found = max(found, os.stat(os.path.join(path, name)).st_mtime)
            except OSError:
                continue
    return found


def _has_data() -> bool:
    return any(os.path.isdir(os.path.join(path, "Europe")) for path in TZPATH) or find_spec("tzdata") is not None


def names() -> list[str]:
    """The names of all zones that a schedule may have."""
    from zoneinfo import available_timezones

    return sorted(available_timezones().difference(MACHINES_OWN))


def local() -> str:
    """The name of this machine's zone, or of the one that TZ names. Raises `Invalid` if it has no name."""
    given = os.environ.get("TZ", "").removeprefix(":")
    if given:
        name = _below_zoneinfo(given) if given.startswith("/") else given
        return _known(name, f"TZ={given}")
    try:
        target = os.path.realpath(LOCALTIME)
        if not os.path.lexists(LOCALTIME):
            return "UTC"
        if target != LOCALTIME and (name := _below_zoneinfo(target)):
            return _known(name, LOCALTIME)
        with open(TIMEZONE, encoding="utf-8") as file:
            return _known(file.read().strip(), TIMEZONE)
    except OSError:
        return _known("", LOCALTIME)


def _below_zoneinfo(path: str) -> str:
    name = path.partition("/zoneinfo/")[2]
    return name.partition("/")[2] if name.startswith(VARIANTS) else name


def _known(name: str, source: str) -> str:
    try:
        if name:
            named(name)
            return name
    except Invalid:
        pass
    raise Invalid(f"{source} is not the name of a time zone", "name one with tz=Europe/Berlin")


def version() -> str | None:
    """The release of this machine's rules, such as 2026a; None if it is not known."""
    for path in TZPATH:
        try:
            with open(os.path.join(path, "tzdata.zi"), encoding="utf-8") as file:
                if found := re.match(r"# version (\w+)", file.readline()):
                    return found[1]
        except OSError:
            continue
    try:
        from importlib.metadata import version as release

        return release("tzdata")
    except ImportError:
        return None
