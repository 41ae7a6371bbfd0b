"""Makes queuectl.pyz: all of queuectl as one file that any Python from 3.11 on runs. `make pyz` calls it.

It holds what the wheel holds, and the code of all modules as this Python compiles it. The same version of Python starts
from that; others compile the sources at each start.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.util import MAGIC_NUMBER
from marshal import dumps
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

HERE = Path(__file__).resolve().parent
FIRST_LINE = b"#!/usr/bin/env python3\n"
START = "queuectl_start"
MAIN = f"""import os, sys
sys.path[0] = os.path.abspath(sys.path[0])
import {START}
from queuectl.cli.main import run
run()
"""
CODE, PLACES, INDEX = "CODE", "PLACES", "queuectl/INDEX"
MADE = (2026, 1, 1, 0, 0, 0)
"""The time of each file, so that the same sources make the same archive."""
HEADER_BYTES = 30
"""Of a file in an archive, before its name."""


def build(target: Path, package: dict[str, bytes], magic: bytes = MAGIC_NUMBER) -> None:
    """Writes the archive of a package's files. `magic` says for which Python its code is."""
    files = {**package, f"{START}.py": (HERE / "start.py").read_bytes(), "__main__.py": MAIN.encode()}
    files[INDEX] = "".join(f"{name.removeprefix('queuectl/')}\n" for name in files if not name.endswith(".py")).encode()
    code, places = b"", {}
    begin = len(FIRST_LINE) + HEADER_BYTES + len(CODE)
    for name, source in sorted(files.items()):
        if name.startswith("queuectl/") and name.endswith(".py"):
            made = dumps(compile(source, name, "exec", dont_inherit=True))
            places[module_of(name)] = (begin + len(code), len(made), name)
            code += made
    with target.open("wb") as file:
        file.write(FIRST_LINE)
        with ZipFile(file, "a") as archive:
            add(archive, CODE, code, ZIP_STORED)  # first: then it is known where it begins
            add(archive, PLACES, dumps((magic, places)), ZIP_STORED)
            for name, content in sorted(files.items()):
                add(archive, name, content, ZIP_STORED if name.endswith(".sql") or name == INDEX else ZIP_DEFLATED)
    target.chmod(0o755)


def package_in(folder: Path) -> dict[str, bytes]:
    """The package's files in the wheel that is in a folder."""
    (wheel,) = folder.glob("*.whl")
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if name.startswith("queuectl/")}


def module_of(name: str) -> str:
    return name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def add(archive: ZipFile, name: str, content: bytes, how: int) -> None:
    info = ZipInfo(name, MADE)
    info.external_attr = 0o644 << 16
    info.compress_type = how
    archive.writestr(info, content)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as made:
        words = [
            sys.executable,
            "-m",
            "pip",
            "wheel",
            "--quiet",
            "--disable-pip-version-check",
            "--no-deps",
            "-w",
            made,
            ".",
        ]
        subprocess.run(words, check=True, cwd=HERE.parent)
        build(Path(sys.argv[1]), package_in(Path(made)))
