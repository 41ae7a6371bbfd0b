"""A newcomer's first minutes: a fresh clone, and every line of the README that installs and uses queuectl.

make newcomer

What a line prints is compared with what the README shows; prints the time of each part. It installs from the configured
package index, into a home of its own.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.docs.blocks import blocks_of
from tests.docs.links import ROOT
from tests.docs.play import complaints_of
from tests.docs.stage import Stage


def main() -> int:
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="queuectl-newcomer-", ignore_cleanup_errors=True) as home:
        checkout = Path(home, "queuectl")
        began = time.monotonic()
        subprocess.run(["git", "clone", "-q", str(ROOT), str(checkout)], check=True)
        print(f"{time.monotonic() - began:6.1f}s  git clone", flush=True)
        stage = Stage(Path(home), "newcomer", None, installs=True)
        try:
            for block in blocks_of(checkout / "README.md"):
                since = time.monotonic()
                if block.not_played == "installs":
                    output = stage.play(f'cd "{checkout}"\n{block.text}\ncd ~/demo')
                    found = ["\n".join([*failures, *output])] if (failures := stage.failures()) else []
                elif block.played:
                    found = list(complaints_of(stage, block))
                else:
                    continue
                wrong += len(found)
                first = block.text.partition("\n")[0]
                print("\n".join([f"{time.monotonic() - since:6.1f}s  {first} …", *found]), flush=True)
        finally:
            stage.close()
        print(f"{time.monotonic() - began:6.1f}s  in all", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
