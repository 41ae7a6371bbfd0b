"""The SQL function `enqueue`: its script, filled in from the table of a job's keys, and whose version of it stays.

The script is repeatable: it runs whenever the store has another one. Of two releases on one store the newer one's
stays, whichever opens the store last. The store remembers which that is.
"""

from __future__ import annotations

import json
import re
from functools import cache
from hashlib import sha256

from queuectl import __version__
from queuectl.domain.errors import KEPT_KEY_HINT, KEY_HINT
from queuectl.domain.fields import FIELDS, GUARDED, INPUT, UNLIMITED
from queuectl.domain.hooks import ADDRESS, CALLS
from queuectl.domain.job import SCRIPT_BYTES_MAX, Job, Spec
from queuectl.domain.likeness import KEYS
from queuectl.domain.limits import CAPACITY_MAX
from queuectl.domain.unique import DELAYS_MAX, Rule
from queuectl.store.shared.limits import GATES_SCHEMA
from queuectl.store.shared.migrations import sql_text
from queuectl.store.shared.rows import PREFIX_MIN
from queuectl.typed import Any
from queuectl.wire.jobs import LATER, spec_to_text
from queuectl.wire.kinds import ADDRESS_HINT, KEY_BYTES_MAX
from queuectl.wire.requests import ALIASES, COLUMNS, EXCLUSIVE, INPUT_KEYS, LIFTED_BY_NULL, ONLY

FACT = "enqueue"
"""The name under which a store remembers what `stamp` returns."""


@cache
def script() -> str:
    """What makes the function, with the name of the schema left open as `{schema}`."""
    rules = json.dumps(_rules(), separators=(",", ":"))
    text = sql_text("postgres/enqueue.sql").replace("{delays_max}", str(DELAYS_MAX))
    text = text.replace("{prefix_min}", str(PREFIX_MIN))
    return text.replace("{rules}", rules).replace("{columns}", ", ".join(sorted(COLUMNS)))


def _rules() -> dict[str, Any]:
    """What the SQL knows of the keys. `spec` and `columns` have the value of each key that is not given."""
    defaults = {name: Job._field_defaults[name] for name in sorted(COLUMNS)}
    return {
        "fields": {
            field.name: {"kind": field.kind, "low": field.low, "high": None if field.high == UNLIMITED else field.high}
            for field in INPUT
        },
        "setters": {field.name: field.setter for field in FIELDS if field.shown},
        "known": INPUT_KEYS,
        "aliases": ALIASES,
        "only": ONLY,
        "synonyms": KEYS,
        "exclusive": EXCLUSIVE,
        "guarded": GUARDED,
        "capacity_max": CAPACITY_MAX,
        "key_bytes_max": KEY_BYTES_MAX,
        "key_hint": KEY_HINT,
        "kept_key_hint": KEPT_KEY_HINT,
        "calls": CALLS,
        "address": ADDRESS,
        "address_hint": ADDRESS_HINT,
        "on_conflict": list(Rule),
        "script_max": SCRIPT_BYTES_MAX,
        "reader": GATES_SCHEMA,
        "later": LATER,
        "lifted": sorted(LIFTED_BY_NULL),
        "spec": json.loads(spec_to_text(Spec())),
        "columns": {name: None if value == () else value for name, value in defaults.items()},
    }


def stamp() -> str:
    """The release and the digest of its script."""
    return f"{__version__} {sha256(script().encode()).hexdigest()[:16]}"


def is_due(installed: str | None) -> bool:
    """Whether this release's script is to replace the installed one, whose stamp this is.

    Builds of one release replace each other's.
    """
    return installed is None or (installed != stamp() and _release(installed) <= _release(__version__))


def _release(stamped: str) -> list[int]:
    """The numbers of a release, without those of its pre-releases."""
    return [int(number) for number in re.findall(r"\d+", stamped.partition(" ")[0])[:3]]
