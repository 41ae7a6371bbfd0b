"""Every setting, one row each: its name, parser, default and meaning.

Settings are kept in the store and shared by all its users. `config show`, the help and the docs come from this table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from queuectl.domain.errors import Invalid
from queuectl.domain.job import FINISHED, Spec
from queuectl.domain.selector import Selector
from queuectl.typed import Any, NamedTuple
from queuectl.wire.kinds import check_text, size
from queuectl.wire.requests import SPEC_KEYS
from queuectl.wire.times import parse_duration

DURABILITY = ("full", "normal")
NEVER = "never"
RETENTION_BARE_S = 3600.0
"""A shorter retention without a unit was probably meant in days."""


def _durability(value: object, key: str) -> str:
    if value in DURABILITY:
        return str(value)
    raise Invalid(f"{key} must be full or normal, not {value!r}")


def _lease_ttl(value: object, key: str) -> float:
    seconds = parse_duration(value, key)
    if seconds < 1:
        raise Invalid(f"{key} must be at least 1s, not {value!r}")
    return seconds


def _or_never(value: object, key: str) -> float | None:
    return None if value in (NEVER, "none", "off") else parse_duration(value, key)


def _optional_timeout(value: object, key: str) -> float | None:
    return None if value in ("none", "off") else float(SPEC_KEYS["timeout"](value, key))


def _patterns(value: object, key: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in str(value).split(",") if part.strip())


def _check_patterns(text: str) -> None:
    for part in _patterns(text, "env-capture"):
        if "=" in part or len(part.split()) > 1:
            hint = "put commas between their names, e.g. PATH,LC_*; a value is given with a job: --env NAME=VALUE"
            raise Invalid(f"env-capture {part!r} is not a variable", hint)


class Setting(NamedTuple):
    """One row. `parse(text, name)` returns the value or raises `Invalid`; `default` is text too.

    `least_bare_s` is the least number of seconds that a duration may have without a unit; None if it is not a duration.
    """

    name: str
    parse: Callable[[object, str], Any]
    default: str
    help: str
    least_bare_s: float | None = None
    is_secret: bool = False
    """Whether it is shown as `***`."""


def _webhook_secret(value: object, name: str) -> str:
    from base64 import b64decode

    text: str = check_text(value, name).strip()
    try:
        is_right = text.startswith("whsec_") and 24 <= len(b64decode(text[6:], validate=True)) <= 64
    except ValueError:
        is_right = False
    if text and not is_right:
        raise Invalid(f"{name} is not valid", "whsec_ and 24 to 64 random bytes in base64: openssl rand -base64 32")
    return text


def _spec(key: str) -> Callable[[object, str], Any]:
    return SPEC_KEYS[key]


SETTINGS = {
    row.name: row
    for row in (
        Setting("max-retries", _spec("max_retries"), "3", "retries after the first run; then the job is dead"),
        Setting("backoff-base", _spec("backoff_base"), "2", "each delay is this many times the one before"),
        Setting("backoff-initial", _spec("backoff_initial"), "backoff-base", "delay before the first retry", 0),
        Setting("backoff-max", _spec("backoff_max"), "1h", "longest delay", 0),
        Setting("backoff-jitter", _spec("backoff_jitter"), "0", "part (0..1) of a delay that may be taken off"),
        Setting("timeout", _optional_timeout, "none", "time limit of one attempt", 0),
        Setting("kill-grace", _spec("kill_grace"), "10s", "time between SIGTERM and SIGKILL", 0),
        Setting("lease-ttl", _lease_ttl, "15s", "a worker silent for this long may be replaced", 0),
        Setting("lock-patience", _spec("kill_grace"), "5m", "a job passed by for longer keeps freed units of locks", 0),
        Setting("max-lost", _spec("max_retries"), "3", "a job that loses this many workers in a row is dead"),
        Setting("shell", _spec("shell"), "/bin/sh", "runs a command that is a string"),
        Setting("durability", _durability, "full", "full survives power loss; normal survives only crashes"),
        Setting(
            "webhook-secret", _webhook_secret, "", "signs calls of hooks: whsec_ and 24 to 64 bytes in base64",
            is_secret=True,
        ),
        Setting("output-max", size(1 << 10, 1 << 30), "10m", "output kept of an attempt; more is cut in the middle"),
        Setting(
            "env-capture", _patterns, "PATH,LANG,LC_*,TZ,VIRTUAL_ENV,CONDA_PREFIX",
            "variables copied, set or unset, when a job is added; * means all",
        ),
        Setting("retention-completed", _or_never, NEVER, "completed jobs older than this are pruned", RETENTION_BARE_S),
        Setting("retention-cancelled", _or_never, NEVER, "cancelled jobs older than this are pruned", RETENTION_BARE_S),
        Setting("retention-dead", _or_never, NEVER, "dead jobs older than this are pruned", RETENTION_BARE_S),
    )
}  # fmt: skip

NO_DEFAULTS: Mapping[str, str] = {}

ALIASES = {"base-backoff-seconds": "backoff-initial"}


def with_unit(name: str, text: str) -> str:
    """A setting's text; a bare number of seconds gets its unit."""
    return f"{text.strip()}s" if SETTINGS[name].least_bare_s is not None and _is_bare(text) else text


def check_unit(name: str, text: str, seconds: float, least_s: float = RETENTION_BARE_S) -> None:
    """Raises `Invalid` for a number without a unit that was probably meant in days."""
    if _is_bare(text) and seconds < least_s:
        days = text.strip()
        raise Invalid(f"{name} {text} would be {days} seconds", f"give the unit: {days}d for days, {days}s for seconds")


def _is_bare(text: str) -> bool:
    return text.strip().replace(".", "", 1).isdecimal()


def canonical(name: str) -> str:
    """The canonical name of a setting. Raises `Invalid` with the nearest name."""
    key = name.replace("_", "-")
    key = ALIASES.get(key, key)
    if key not in SETTINGS:
        from queuectl.domain.likeness import KEYS, nearest

        words = {word.replace("_", "-"): meant.replace("_", "-") for word, meant in KEYS.items()}
        raise Invalid(f"unknown setting {name!r}", nearest(key, [*SETTINGS, *ALIASES], words))
    return key


class Settings:
    """The store's settings over the defaults."""

    def __init__(self, stored: Mapping[str, str], defaults: Mapping[str, str] = NO_DEFAULTS) -> None:
        """`defaults` are the defaults that differ for this store."""
        self._stored = stored
        self._defaults = defaults
        self._values: dict[str, Any] = {}

    def renew(self, stored: Mapping[str, str]) -> None:
        """Goes by what is stored now."""
        self._stored, self._values = stored, {}

    def text(self, name: str) -> str:
        """The setting as stored, or its default; a duration with its unit."""
        return with_unit(name, self._stored.get(name, self.default(name)))

    def default(self, name: str) -> str:
        """The setting's default in this store, as text."""
        return self._defaults.get(name, SETTINGS[name].default)

    def is_default(self, name: str) -> bool:
        return name not in self._stored

    def __getitem__(self, name: str) -> Any:
        """The setting's value. `backoff-initial` follows `backoff-base` until it is set."""
        if name not in self._values:
            follows = name == "backoff-initial" and self.text(name) == "backoff-base"
            self._values[name] = self["backoff-base"] if follows else SETTINGS[name].parse(self.text(name), name)
        return self._values[name]

    def retention(self, now: float) -> list[Selector]:
        """Selectors of the jobs to prune at `now`; empty if nothing is pruned."""
        ages = [(state, self[f"retention-{state}"]) for state in sorted(FINISHED)]
        return [Selector(states=(state,), before=now - age, hooks=None) for state, age in ages if age is not None]

    def check(self, name: str, text: str) -> None:
        """Raises `Invalid` if `text` is not a value of the setting, or lacks a unit that it needs."""
        if (name, text) == ("backoff-initial", "backoff-base"):
            return
        if name == "env-capture":
            _check_patterns(text)  # one of an earlier release is still read
        value, least_s = SETTINGS[name].parse(text, name), SETTINGS[name].least_bare_s
        if least_s is not None:
            check_unit(name, text, value, least_s)

    def spec_defaults(self) -> dict[str, Any]:
        """The fields of a new job's `Spec` that settings define."""
        return {field: self[name] for name in SETTINGS if (field := name.replace("-", "_")) in Spec._fields}
