"""Runs queuectl from a bare checkout, with nothing installed: `python3 main.py enqueue -- echo hello`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))

from queuectl.cli.main import run

run()
