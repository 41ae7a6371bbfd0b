"""`audit`."""

from __future__ import annotations

from queuectl.cli.call import Call
from queuectl.cli.choosing import positive
from queuectl.cli.render import Column, visible
from queuectl.client.documents import DEED, deed_words
from queuectl.store.past import Deed
from queuectl.wire.words import local_time

SHOWN = 50
COLUMNS = (Column("WHEN"), Column("WHO"), Column("WHAT"), Column("JOB"), Column("DETAIL", least=20))


def audit(call: Call) -> int:
    """Lists what people did, latest last."""
    console = call.console
    limit = positive(call.args.limit, "--limit") or SHOWN
    with call.client() as client:
        deeds = client.audit(limit=limit)[::-1]
    if console.as_json:
        console.json_array(map(DEED.json, deeds))
    elif deeds:
        console.table(COLUMNS, [_row(deed) for deed in deeds])
    else:
        console.note("nobody has done anything but add jobs", "no_deeds")
    return 0


def _row(deed: Deed) -> tuple[str, ...]:
    return local_time(deed.at), deed.who or "", deed_words(deed.kind), deed.job or "", visible(deed.detail or "")
