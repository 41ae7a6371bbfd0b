"""What a release is made of: the files that git tracks, so that nothing that merely lies about is published.

Where there is no git, as in an unpacked release, it is every file.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "src/queuectl/"
SCHEMAS = "docs/schema/"
MANUAL = "share/man/man1"


class TrackedFiles(BuildHookInterface[Any]):
    """Names the files of the source distribution; and for a wheel those of the package, with the schemas, and manual
    pages written from the table of commands."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        for name in tracked(Path(self.root)):
            if self.target_name == "sdist":
                build_data["force_include"][name] = name
            elif name.startswith(PACKAGE):
                build_data["force_include"][name] = name.removeprefix("src/")
            elif name.startswith(SCHEMAS):
                build_data["force_include"][name] = name.replace("docs/", "queuectl/", 1)
        if self.target_name == "wheel":
            build_data["shared_data"] |= {str(page): f"{MANUAL}/{page.name}" for page in self._pages()}

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    _folder: tempfile.TemporaryDirectory[str] | None = None

    def _pages(self) -> list[Path]:
        """The manual pages, in a folder that lasts until the wheel is made."""
        self._folder = tempfile.TemporaryDirectory(prefix="queuectl-manual-")
        write = "import sys; sys.path.insert(0, sys.argv[1]); from queuectl.cli.manual import write; write(sys.argv[2])"
        words = [sys.executable, "-I", "-B", "-c", write, str(Path(self.root) / "src"), self._folder.name]
        subprocess.run(words, check=True)
        return sorted(Path(self._folder.name).iterdir())


def tracked(root: Path) -> list[str]:
    """The files, by their paths below `root`."""
    if not (root / ".git").exists():
        every = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return [str(path.relative_to(root)) for path in every if path.name != "PKG-INFO"]
    words = ["git", "-C", str(root), "-c", "safe.directory=*", "ls-files", "-z"]  # whoever owns the clone
    listed = subprocess.run(words, check=True, capture_output=True, text=True)
    return [name for name in listed.stdout.split("\0") if (root / name).is_file()]
