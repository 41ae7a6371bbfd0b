"""Commands on a store that was never made: no failure of a database, and nothing is made that was not asked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from queuectl import places
from queuectl.cli.commands import commands
from queuectl.domain.errors import StoreUnavailable
from tests.unit.test_json_everywhere import FOR_LONG, LINES, typed

MORE = {
    "copy": "copy --to other.db --yes", "backup": "backup saved.db", "export": "export", "import": "import /dev/null",
    "restore": "restore saved.db --yes", "run": "run --help", "mcp": "mcp --help", "serve": "serve --help",
    "worker start": "worker start --help",
}  # fmt: skip
NOT_ASKED = FOR_LONG - set(MORE)
MAKES = [name for name, row in commands().items() if row.makes_store]
DONE, REFUSED = (0, 1), (2, 3, 5, 125)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("name", sorted({*LINES, *MORE} - NOT_ASKED))
def test_a_command_finds_no_store(name: str, named: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = MORE.get(name) or LINES[name]
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QUEUECTL_DB", raising=False)
    monkeypatch.setattr(places, "_nearest_local", lambda: None)
    monkeypatch.setenv("XDG_DATA_HOME", str(home))
    code, _, told = typed(home / "queuectl" / "queuectl.db" if named else None, line)
    assert code in (*DONE, *REFUSED), told
    for word in ("no such table", "Traceback", "failed:"):
        assert word not in told
    if name not in MAKES:
        assert (list(home.rglob("*")), [path.name for path in tmp_path.iterdir()]) == ([], ["home"])


def test_no_archive_of_a_missing_file_is_made(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"there is no store .*/gone.db"):
        places.open_archive(str(tmp_path / "gone.db"))
    assert os.listdir(tmp_path) == []


def test_a_schema_that_was_never_made_is_not_reset(postgres_url: str) -> None:
    assert places.reset_store(postgres_url) is None
    with pytest.raises(StoreUnavailable, match="there is no store"):
        places.open_existing(postgres_url)
