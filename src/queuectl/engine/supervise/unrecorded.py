"""Results that have not been recorded yet: journalled, and kept until their dispatcher says `recorded`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from queuectl.engine.protocol import JOURNAL_NAME, End, Key
from queuectl.engine.supervise.journal import Journal
from queuectl.engine.supervise.output import discard, is_users

INLINE_SHARE = 24
"""One output may take 1/24 of the journal's room: there are two, and a result, and as JSON a byte may become six."""


class Unrecorded:
    """A supervisor's results. False where there are none."""

    def __init__(self, below: Path, folder: Path, slots: int) -> None:
        """`below` is the store's folder, `folder` the supervisor's own."""
        self._below = below
        self._results: dict[Key, str] = {}
        """The message for each."""
        self._files: dict[Key, list[str]] = {}
        """Files of this supervisor that some of them name."""
        self.journal = Journal(folder / JOURNAL_NAME, slots)

    def __bool__(self) -> bool:
        return bool(self._results)

    def __contains__(self, key: Key) -> bool:
        return key in self._results

    def messages(self) -> Iterable[str]:
        """The messages for all of them."""
        return self._results.values()

    def keep(self, end: End, body: str, used: str) -> str:
        """Keeps an end whose JSON `body` is in the journal, with what its command used; returns the message of it."""
        message = self._results[end.seq, end.lease] = f'["ended",{body},{used}]'
        if end.outputs or end.result:
            kepts = [*(end.outputs or {}).values(), *([end.result] if end.result else [])]
            paths = [kept["path"] for kept in kepts if "path" in kept]
            self._files[end.seq, end.lease] = [path for path in paths if not is_users(path)]
        return message

    def drop(self, keys: Iterable[Sequence[int]]) -> None:
        """These have been recorded."""
        for seq, lease in keys:
            self._results.pop((seq, lease), None)
            for path in self._files.pop((seq, lease), ()):
                discard(self._below / path)
        if not self._results:
            self.journal.clear()
