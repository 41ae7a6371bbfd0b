"""In queuectl.pyz: imports its modules from their compiled code, which is one file of the archive.

`zipimport` takes longer for each module than a folder does; this takes less. It is for the version of Python that has
made the archive. Others compile the sources, by `zipimport`.
"""

from __future__ import annotations

import os
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import MAGIC_NUMBER  # importlib.util and importlib.abc load twenty modules more
from marshal import loads
from sys import meta_path
from zipimport import zipimporter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.abc import Loader
    from types import ModuleType
else:
    Loader = object

ARCHIVE = os.path.dirname(os.path.abspath(__file__))
PLACES = "PLACES"
"""Where in the archive the code of each module is."""


class Compiled(Loader):
    """Finds and loads modules. `places` has offset and size of each module's code, and its path, by name."""

    def __init__(self, places: dict[str, tuple[int, int, str]], zipped: zipimporter) -> None:
        self._places = places
        self._identity = identity(os.stat(ARCHIVE))
        self.get_data = zipped.get_data

    def find_spec(self, name: str, _path: object = None, _target: object = None) -> ModuleSpec | None:
        if (found := self._places.get(name)) is None:
            return None
        path = os.path.join(ARCHIVE, found[2])
        spec = ModuleSpec(name, self, origin=path)
        spec.has_location = True
        if path.endswith("/__init__.py"):
            spec.submodule_search_locations = [os.path.dirname(path)]
        return spec

    def create_module(self, _spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        offset, size, _ = self._places[module.__name__]
        file = os.open(ARCHIVE, os.O_RDONLY | os.O_CLOEXEC)  # not kept open: a worker closes what it does not know
        try:
            if identity(os.fstat(file)) != self._identity:
                raise ImportError(f"{ARCHIVE} was replaced; start again", name=module.__name__)
            code = os.pread(file, size, offset)
        finally:
            os.close(file)
        exec(loads(code), module.__dict__)


def identity(of: os.stat_result) -> tuple[int, int, int]:
    return of.st_dev, of.st_ino, of.st_mtime_ns


def install() -> None:
    """From now on modules come from the archive's code, if it is of this Python."""
    zipped = zipimporter(ARCHIVE)
    magic, places = loads(zipped.get_data(os.path.join(ARCHIVE, PLACES)))
    if magic == MAGIC_NUMBER:
        meta_path.insert(0, Compiled(places, zipped))


install()
