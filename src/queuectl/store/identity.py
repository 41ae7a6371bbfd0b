"""Which store this is: a copy has the same rows and the same store id, but it is another store.

A store's *home* names its place. Each worker's row has the home in which it was registered, and counts only there.
A home consists of parts. Two homes are the same if they have a part in common.

- In a file: the device and inode of the file, and those of its folder. A moved file keeps its own part. A file put in
  the place of another keeps the folder's part. A copy has neither.
- In a server: one part, the cluster's system identifier and the oids of the database and of the table `workers`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable


def home_of_file(path: str, folder: str) -> str:
    """The home of a store in a file. A file or folder that is missing now is left out."""
    return " ".join(_parts((path, folder)))


def _parts(places: Iterable[str]) -> Iterable[str]:
    for place in places:
        try:
            found = os.stat(place)
        except FileNotFoundError:
            continue
        yield f"{found.st_dev}:{found.st_ino}"


def home_in_server(cluster: int, database: int, table: int) -> str:
    """The home of a store in a server, from the cluster's system identifier and the oids of database and table."""
    return f"{cluster}/{database}/{table}"


def is_same(home: str | None, here: str) -> bool:
    """Whether both are one place. An unknown home counts as the same: rows of older releases have none, and a role may
    not be allowed to read the system identifier."""
    return not home or not here or not set(home.split()).isdisjoint(here.split())
