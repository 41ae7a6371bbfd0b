"""What a release is made of: the files that git tracks, so that nothing that merely lies about is published.

Where there is no git, as in an unpacked release, it is every file.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PACKAGE = "src/queuectl/"


class TrackedFiles(BuildHookInterface[Any]):
    """Names the files of the source distribution, and those of the package for a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        for name in tracked(Path(self.root)):
            if self.target_name == "sdist":
                build_data["force_include"][name] = name
            elif name.startswith(PACKAGE):
                build_data["force_include"][name] = name.removeprefix("src/")


def tracked(root: Path) -> list[str]:
    """The files, by their paths below `root`."""
    if not (root / ".git").exists():
        every = (path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return [str(path.relative_to(root)) for path in every if path.name != "PKG-INFO"]
    words = ["git", "-C", str(root), "-c", "safe.directory=*", "ls-files", "-z"]  # whoever owns the clone
    listed = subprocess.run(words, check=True, capture_output=True, text=True)
    return [name for name in listed.stdout.split("\0") if (root / name).is_file()]
