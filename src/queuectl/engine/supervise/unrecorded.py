"""Results that have not been recorded yet: journalled, and kept until their dispatcher says `recorded`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from queuectl.engine.protocol import JOURNAL_NAME, End, Key
from queuectl.engine.supervise.journal import Journal
from queuectl.engine.supervise.output import discard, is_users

INLINE_SHARE = 16
"""Only such a part of the journal's room is for one output: there are two, and as JSON a byte may become six."""


class Result(NamedTuple):
    """An end that has not been recorded: what is told of it, and the files of ours that it names."""

    message: str
    files: Sequence[str]


class Unrecorded:
    """A supervisor's results. False where there are none."""

    def __init__(self, below: Path, folder: Path, slots: int) -> None:
        """`below` is the store's folder, `folder` the supervisor's own."""
        self._below = below
        self._results: dict[Key, Result] = {}
        self.journal = Journal(folder / JOURNAL_NAME, slots)

    def __bool__(self) -> bool:
        return bool(self._results)

    def __contains__(self, key: Key) -> bool:
        return key in self._results

    def messages(self) -> Iterable[str]:
        """What there is to tell of all of them."""
        return [result.message for result in self._results.values()]

    def keep(self, end: End, body: str, used: str) -> str:
        """Keeps an end whose JSON `body` is in the journal, with what its command used; returns the message of it."""
        outputs = end.outputs.values() if end.outputs else ()
        files = [kept["path"] for kept in outputs if "path" in kept and not is_users(kept["path"])]
        message = f'["ended",{body},{used}]'
        self._results[end.seq, end.lease] = Result(message, files)
        return message

    def drop(self, keys: Iterable[Sequence[int]]) -> None:
        """These have been recorded."""
        for seq, lease in keys:
            result = self._results.pop((seq, lease), None)
            for path in result.files if result else ():
                discard(self._below / path)
        if not self._results:
            self.journal.clear()
