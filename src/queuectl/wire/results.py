"""Results that commands leave as JSON."""

from __future__ import annotations

import json


def checked_result(text: bytes) -> tuple[str | None, str | None]:
    """The result as compact JSON that every reader takes, or why it is not kept."""
    if not text.strip():
        return None, "result not kept: the file is empty"
    try:
        value = json.loads(text.decode(), parse_constant=_refused, parse_int=_whole)
        compact = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        compact.encode()  # not so with half a surrogate pair
    except RecursionError:
        return None, "result not kept: it is nested too deeply"
    except UnicodeError:
        return None, "result not kept: it is not UTF-8"
    except ValueError as error:
        return None, f"result not kept: it is not JSON: {error}"
    return compact, None


def _whole(digits: str) -> int:
    try:
        return int(digits)
    except ValueError:  # Python's own limit
        raise ValueError("a number has thousands of digits") from None


def _refused(name: str) -> object:
    raise ValueError(f"{name} is no number of JSON")
