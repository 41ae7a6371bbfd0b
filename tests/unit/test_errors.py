"""Errors keep their kind: over processes, and where their words change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from queuectl.client.placing import named, new_place
from queuectl.domain import errors
from queuectl.domain.errors import Conflict, IdTaken, KeyTaken, QueuectlError, error_of
from queuectl.store.sqlite.store import SqliteStore
from queuectl.store.values import Moved


def kinds(of: type[QueuectlError] = QueuectlError) -> Iterator[type[QueuectlError]]:
    for kind in of.__subclasses__():
        if kind.__module__ == errors.__name__:
            yield kind
        yield from kinds(kind)


@pytest.mark.parametrize("kind", [*kinds()], ids=lambda kind: kind.__name__)
def test_the_error_of_another_process_has_its_code_and_exit_code(kind: type[QueuectlError]) -> None:
    error = error_of(kind.code, "no", "yes")
    assert (error.code, error.exit_code, error.message, error.hint) == (kind.code, kind.exit_code, "no", "yes")


@pytest.mark.parametrize(
    "error",
    [IdTaken("a"), KeyTaken("/made/store.db", "a"), Moved("/made/store.db", "/b.db")],
    ids=lambda each: type(each).__name__,
)
def test_an_error_about_a_file_in_the_making_names_its_place(error: QueuectlError) -> None:
    words = str(error).replace("the store /made/store.db", "/a.db").replace("/made/store.db", "/a.db")
    hint = error.hint
    with pytest.raises(type(error)) as raised, named("/made/store.db", "/a.db"):
        raise error
    assert (str(raised.value), raised.value.message, raised.value.hint) == (words, words, hint)


def test_nobody_is_told_to_write_over_a_store_which_is_refused(tmp_path: Path) -> None:
    with closing(SqliteStore(path := str(tmp_path / "a.db"))):
        for replace in (False, True):
            with pytest.raises(Conflict, match="is a queuectl store, with its jobs") as refused:
                new_place(path, replace, "b.db")
            assert refused.value.hint == "name another file"
