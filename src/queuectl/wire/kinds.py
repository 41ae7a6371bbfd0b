"""Checks of single values, one for each kind of `domain.fields`. Each returns the value to keep, or raises `Invalid`
with the key, the value and the rule."""

from __future__ import annotations

import re
from collections.abc import Callable

from queuectl.domain.errors import Invalid
from queuectl.domain.job import COMMAND_BYTES_MAX, COMMAND_STRING_BYTES_MAX, SCRIPT_BYTES_MAX
from queuectl.domain.unique import Rule
from queuectl.typed import TYPE_CHECKING, Any
from queuectl.wire.showing import shown as shown  # also for those who check more
from queuectl.wire.sizes import SIZES, format_size
from queuectl.wire.times import parse_duration

if TYPE_CHECKING:
    from queuectl.domain.fields import Field

JsonObject = dict[str, Any]

NONE = "none"
"""What people write to lift a value."""

ID = r"[A-Za-z0-9._:-]{1,128}"
SECRET = r"(?!QUEUECTL_)[A-Za-z_][A-Za-z0-9_]{0,127}"
SECRET_HINT = "a variable's name: A-Z a-z 0-9 _, no digit first, not QUEUECTL_…"
NAME = r"[A-Za-z0-9._:/@+-]{1,128}"
NAME_HINT = "1 to 128 of A-Z a-z 0-9 . _ : / @ + -"


def check_text(value: object, key: str) -> str:
    """A text that commands, paths and stores can have: UTF-8 without NUL."""
    if not isinstance(value, str):
        raise Invalid(f"{key} must be text, not {shown(value)}")
    if "\0" in value:
        raise Invalid(f"{key} contains a NUL byte", "no command or path can carry one")
    return utf8(value, key, "put them into a script or a file")


def utf8(text: str, what: str, hint: str) -> str:
    """The text, if it is UTF-8. Raises `Invalid`."""
    try:
        text.isascii() or text.encode()
    except UnicodeEncodeError:
        raise Invalid(f"{what} holds bytes that are not UTF-8", hint) from None
    return text


def check_filled(value: object, key: str) -> str:
    text = check_text(value, key)
    if not text:
        raise Invalid(f"{key} is empty")
    return text


def check_path(value: object, key: str) -> str:
    """A path. `-` means a stream elsewhere, and a job can have none of its caller's."""
    text = check_filled(value, key)
    if text == "-":
        raise Invalid(f"{key} must be a path; - means no stream here", "for a file or folder of that name write ./-")
    return text


KEY_BYTES_MAX = 512


def check_key(value: object, key: str) -> str:
    """A unique key: any text that is not too long for an index."""
    text = check_filled(value, key)
    if len(text.encode()) > KEY_BYTES_MAX:
        raise Invalid(f"{key} is {len(text.encode()):,} bytes long; the limit is {KEY_BYTES_MAX}", "use a hash of it")
    return text


def check_allowance(value: object, key: str) -> str:
    """How many jobs of a batch may be dead: a number of them, or a percentage of the batch."""
    said = str(value).strip() if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if re.fullmatch(r"[0-9]{1,9}|[0-9]{1,2}%|100%", said):
        return said.lstrip("0") or "0" if said[-1] != "%" else f"{int(said[:-1])}%"
    raise Invalid(f"{key} must be a whole number or a percentage, not {shown(value)}", "write it as 3 or 5%")


def check_rule(value: object, key: str) -> Rule:
    if isinstance(value, str) and value in tuple(Rule):
        return Rule(value)
    raise Invalid(f"{key} must be one of {', '.join(Rule)}, not {shown(value)}")


def _is_whole(text: str) -> bool:
    """Whether it is a number of at most 18 digits. No pattern: one would be compiled at each start of a command."""
    digits = text[text[:1] in ("+", "-") :]
    return digits.isascii() and digits.isdigit() and len(digits) <= 18


def whole_number(low: float, high: float) -> Callable[[object, str], int]:
    """The check for a whole number from `low` to `high`, or its text."""

    def check(value: object, key: str) -> int:
        if isinstance(value, str) and _is_whole(value):
            value = int(value)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise Invalid(f"{key} must be a whole number from {low} to {high}, not {shown(value)}")
        return value

    return check


def number(low: float, high: float) -> Callable[[object, str], float]:
    """The same for a number that may have a fraction."""

    def check(value: object, key: str) -> float:
        if isinstance(value, str):
            whole, point, fraction = value.partition(".")
            if _is_whole(whole) and (not point or (fraction.isascii() and fraction.isdigit())):
                value = float(value) if point else int(value)
        if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
            raise Invalid(f"{key} must be a number from {low:g} to {high:g}, not {shown(value)}")
        return float(value) + 0.0  # no minus before a zero

    return check


def size(low: float, high: float) -> Callable[[object, str], int]:
    """The same for a number of bytes: 1048576, `64k`, `512m`, `4g`, `1t`, also with `b` or `ib` after the unit."""

    def check(value: object, key: str) -> int:
        said = re.fullmatch(r"([0-9]{1,18})([kmgt]?)(i?b)?", str(value).strip().lower())
        if said and not isinstance(value, (bool, float)) and low <= (count := int(said[1]) * SIZES[said[2]]) <= high:
            return count
        hint = f"write it as 64k, 10m or 1g; from {format_size(int(low))} to {format_size(int(high))}"
        raise Invalid(f"{key} must be a size, not {shown(value)}", hint)

    return check


def check_flag(value: object, key: str) -> bool:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise Invalid(f"{key} must be true or false, not {shown(value)}")
    return value


def check_positive_duration(value: object, key: str) -> float:
    seconds = parse_duration(value, key)
    if seconds <= 0:
        raise Invalid(f"{key} must be longer than 0, not {shown(value)}")
    return seconds


def _check_duration_or_none(value: object, key: str) -> float | None:
    """The same, or `none`: there is no limit, whatever is usual."""
    return None if value == NONE else check_positive_duration(value, key)


def check_id(value: object, key: str) -> str:
    if isinstance(value, str) and may_be_id(value):
        return value
    raise Invalid(f"{key} {shown(value)} is not valid", "1 to 128 of A-Z a-z 0-9 . _ : -")


def may_be_id(ref: str) -> bool:
    """Whether this can be a job's id or its beginning."""
    return re.fullmatch(ID, ref) is not None


def check_queue(value: object, key: str) -> str:
    if isinstance(value, str) and re.fullmatch(NAME, value):
        return value
    raise Invalid(f"{key} {shown(value)} is not valid", NAME_HINT)


def check_command(value: object, key: str) -> str | tuple[str, ...]:
    """A line for a shell, or the words of a command."""
    if not isinstance(value, list):
        line = check_text(value, key)
        if not line or line.isspace():
            raise Invalid("command is empty", 'give one, e.g. {"command": "echo hello"}')
        _check_length(line, COMMAND_STRING_BYTES_MAX)
        return line
    if not value:
        raise Invalid("command is an empty list", "its first word is the program to run")
    words = tuple(check_text(word, "a word of command") for word in value)
    if not words[0]:
        raise Invalid("command's first word is empty", "it is the program to run")
    for word in words:
        _check_length(word, COMMAND_STRING_BYTES_MAX)
    _check_length("\0".join(words), COMMAND_BYTES_MAX)
    return words


def check_script(value: object, key: str) -> str:
    """The text of a script."""
    text = check_filled(value, key)
    if (size := len(text.encode())) > SCRIPT_BYTES_MAX:
        raise Invalid(
            f"{key} is {size:,} bytes long; the limit is {SCRIPT_BYTES_MAX:,}",
            "keep its data elsewhere, such as in a file",
        )
    first = text.partition("\n")[0]
    if first.startswith("#!") and first.endswith("\r"):
        raise Invalid(f"the first line of {key} ends with CR LF", "its lines must end with LF alone: dos2unix FILE")
    return text


ADDRESS_HINT = "write it as https://HOST/PATH, without blanks"


def check_hook(value: object, key: str) -> str:
    """A command for the shell, or a URL."""
    from queuectl.domain.hooks import is_address, is_url  # few jobs have any

    text = check_filled(value, key)
    if is_url(text) and not is_address(text):
        raise not_a_url(text, key)
    return text


def _check_hook_of_job(value: object, key: str) -> str | None:
    """The same, or `none`: the job has no hook, whatever its queue has."""
    text = check_hook(value, key)
    return None if text == NONE else text


def not_a_url(value: object, key: str) -> Invalid:
    """The error for a URL that cannot be called."""
    return Invalid(f"{key} {shown(value)} is not a URL", ADDRESS_HINT)


def _check_length(text: str, limit: int) -> None:
    if len(text) * 4 > limit and (size := len(text.encode())) > limit:
        raise Invalid(
            f"command is {size:,} bytes long; the limit is {limit:,}",
            "put it into a script file, or feed the data with stdin=FILE",
        )


def check_exit_codes(value: object, key: str) -> tuple[int, ...]:
    """Codes from 1 to 255: a list, one alone, or text with commas between."""
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    if isinstance(value, int):
        value = [value]
    one = whole_number(1, 255)
    return tuple(one(code, f"an exit code of {key}") for code in _list(value, key, "exit codes"))


def _list(value: object, key: str, of: str) -> list[Any]:
    """A list, for which a text stands that is its only value."""
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list):
        raise Invalid(f"{key} must be a list of {of}, not {shown(value)}")
    return value


def check_tags(value: object, key: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(check_queue(tag, "tag") for tag in _list(value, key, "words")))


def check_secrets(value: object, key: str) -> tuple[str, ...]:
    """Names of variables whose values only the worker knows."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise Invalid(f"{key} must be a list of names", SECRET_HINT)  # what is given may hold the secret
    for name in names:
        if not re.fullmatch(SECRET, name):
            known = re.sub(r"(?s)([^A-Za-z0-9_. -]).*", r"\1…", name)  # the rest is likely the secret
            raise Invalid(f"secret {shown(known)} is not valid", SECRET_HINT)
    return tuple(dict.fromkeys(names))


def check_locks(value: object, key: str) -> tuple[str, ...]:
    """Units of locks, each `NAME` or `NAME=N`, by name; a name that comes twice adds up."""
    from queuectl.domain.limits import CAPACITY_MAX, Request  # few jobs have any

    units = dict[str, int]()
    for text in _list(value, key, "NAME or NAME=N"):
        name, sign, count = text.partition("=") if isinstance(text, str) else ("", "", "")
        if not re.fullmatch(NAME, name):
            raise Invalid(f"lock {shown(text)} is not valid", f"NAME or NAME=N; NAME is {NAME_HINT}")
        number = whole_number(1, CAPACITY_MAX)(count, f"the units of lock {name}") if sign else 1
        units[name] = units.get(name, 0) + number
    return tuple(str(Request(name, units[name])) for name in sorted(units))


def check_dependencies(value: object, key: str) -> tuple[str, ...]:
    """What a job depends on, each once, in the shortest spelling."""
    from queuectl.domain.dependency import parse  # few jobs have any

    found = dict[str, None]()
    for text in _list(value, key, "ids"):
        wanted = parse(text) if isinstance(text, str) else None
        if wanted is None or not re.fullmatch(NAME if wanted.is_batch else ID, wanted.name):
            hint = "ID or batch:NAME, perhaps with :any or :failed after it"
            raise Invalid(f"{key} {shown(text)} is not valid", hint)
        found[str(wanted)] = None
    return tuple(found)


def check_env(value: object, key: str) -> dict[str, str]:
    """Variables, by name."""
    if not isinstance(value, dict):
        raise Invalid(f"{key} must be an object of names and values, not {shown(value)}")
    for name, text in value.items():
        if not name or re.search(r"[=\0 \t\n\r\v\f]", name):
            raise Invalid(f"{key} has a variable named {name!r}; a name has neither blanks nor =")
        utf8(name, f"{key} has a variable whose name", "rename it")
        check_text(text, f"{key} variable {name}")
        if (size := len(f"{name}={text}".encode())) > COMMAND_STRING_BYTES_MAX:
            raise Invalid(
                f"{key} variable {name} is {size:,} bytes long; the limit is {COMMAND_STRING_BYTES_MAX:,}",
                "put it into a file, and have the variable name that",
            )
    return value


def check_umask(value: object, key: str) -> int:
    """A umask in octal text, such as `022`."""
    if isinstance(value, str) and re.fullmatch(r"0?o?[0-7]{1,4}", value):
        mask = int(value.replace("o", ""), 8)
        if mask <= 0o777:
            return mask
    raise Invalid(f"{key} must be octal text from 000 to 777, not {shown(value)}", 'write it as "022"')


_CHECKS: dict[str, Callable[[Any, str], Any]] = {
    "id": check_id,
    "command": check_command,
    "name": check_queue,
    "names": check_tags,
    "filled text": check_filled,
    "path": check_path,
    "script": check_script,
    "hook": _check_hook_of_job,
    "flag": check_flag,
    "time": lambda value, key: value,  # against the clock, by `parse_request`
    "duration": parse_duration,
    "positive duration": check_positive_duration,
    "duration or none": _check_duration_or_none,
    "exit codes": check_exit_codes,
    "locks": check_locks,
    "secrets": check_secrets,
    "dependencies": check_dependencies,
    "key": check_key,
    "rule": check_rule,
    "allowance": check_allowance,
    "umask": check_umask,
    "variables": check_env,
}


_RANGED = {"whole number": whole_number, "number": number, "size": size}
"""What makes the check of a kind whose values have a least and a largest one."""


def check_of(field: Field) -> Callable[[Any, str], Any]:
    """The check of a key's values: check(value, key) returns the value to keep, or raises `Invalid`."""
    if field.kind in _RANGED:
        return _RANGED[field.kind](field.low, field.high)
    return _CHECKS[field.kind]
