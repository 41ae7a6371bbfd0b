"""The code in the pages about Python runs as it stands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from queuectl import Client
from tests.workshop import clean_environment

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ANY_BLOCK = re.compile(r"^```python[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_page_runs_from_its_first_block_to_its_last(tmp_path: Path) -> None:
    blocks = BLOCK.findall(PAGE.read_text())
    assert len(blocks) > 8
    program = tmp_path / "page.py"
    program.write_text("\n\n".join(blocks))
    try:
        done = subprocess.run(
            [sys.executable, "-W", "error", str(program)], cwd=tmp_path, env=clean_environment(), timeout=200,
            capture_output=True, text=True,
        )  # fmt: skip
    finally:
        with Client(tmp_path / "jobs.db") as client:
            client.stop_workers(now=True)
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert said[0].endswith(" pending")
    assert said[1] == "completed 0 b'hello\\noops\\n'"
    assert "job mine exists already - choose another id, or leave it out to get a new one" in said


@pytest.mark.parametrize(
    "block", ANY_BLOCK.findall(PAGE.read_text()), ids=lambda block: block.strip().splitlines()[-1][:40]
)
def test_every_block_is_python(block: str) -> None:
    compile(block, str(PAGE), "exec")
