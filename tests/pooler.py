"""A real pooler before a server: pgbouncer in transaction mode, which gives every transaction another session."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.needs import lacks
from tests.server import UNPRIVILEGED, free_port
from tests.workshop import until

PROGRAM = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
CONFIG = """
[databases]
* = host={host} port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
"""


@contextmanager
def pooled_by(url: str) -> Iterator[str]:
    """The address of a database by way of a pooler that has three connections to it."""
    if not os.path.exists(PROGRAM):
        lacks("pgbouncer", "apt-get install pgbouncer")
    server, port = urlsplit(url), free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "pgbouncer.ini")
        config.write_text(CONFIG.format(host=server.hostname, server=server.port, port=port))
        pooler = subprocess.Popen([*UNPRIVILEGED, PROGRAM, "-q", str(config)], stderr=subprocess.DEVNULL)
        try:
            until(lambda: answers(port), "pgbouncer listens")
            yield url.replace(f":{server.port}", f":{port}")
        finally:
            pooler.kill()
            pooler.wait()


def answers(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as line:
        return line.connect_ex(("127.0.0.1", port)) == 0
