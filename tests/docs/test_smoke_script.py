"""The smoke test at the root of the checkout passes."""

from __future__ import annotations

import subprocess
import sys

from tests.docs.links import ROOT
from tests.workshop import clean_environment


def test_the_smoke_test_passes_in_a_bare_checkout() -> None:
    done = subprocess.run(
        [ROOT / "test.sh"], env=clean_environment(PYTHON=sys.executable), capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr
