"""A fresh clone works wherever it lies, and holds what a release is made of."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.server import UNPRIVILEGED


def test_the_test_server_reaches_programs_that_only_root_may_reach(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    program = home / "program"
    program.write_text("#!/bin/sh\nid -u\n")
    program.chmod(0o700)
    subprocess.run([*UNPRIVILEGED, "test", "-x", program], check=True)  # PostgreSQL asks access(2) too
    user = int(subprocess.run([*UNPRIVILEGED, program], check=True, capture_output=True, text=True).stdout)
    assert user == (os.geteuid() or 65534)
