"""Which store this is: a copy has the same rows and the same store id, but it is another store.

A store's *home* names the place where it is. Each worker's row has the home in which it was registered, and counts
there alone. A home is a text of parts; two homes are the same where they share a part.

- In a file: the file and its folder, each by device and inode. A file that was moved keeps its own, one that was put
  in the place of another keeps the folder's. A copy has neither.
- In a server: one part, the cluster's system identifier and the oids of the database and of the table `workers`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable


def home_of_file(path: str, folder: str) -> str:
    """The home of a store in a file. What is missing just now is no part of it."""
    return " ".join(_parts((path, folder)))


def _parts(places: Iterable[str]) -> Iterable[str]:
    for place in places:
        try:
            found = os.stat(place)
        except FileNotFoundError:
            continue
        yield f"{found.st_dev}:{found.st_ino}"


def home_in_server(cluster: int, database: int, table: int) -> str:
    """The home of a store in a server: the cluster's system identifier, and the oids of database and table."""
    return f"{cluster}/{database}/{table}"


def is_same(home: str | None, here: str) -> bool:
    """Whether both are one place. An unknown one is: a row of an older release has no home, and a server's role may
    not be allowed to read the system identifier."""
    return not home or not here or not set(home.split()).isdisjoint(here.split())
