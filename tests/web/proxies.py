"""Real proxies over TLS in front of a server, with the configurations of docs/behind-a-proxy.md."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.needs import lacks
from tests.pooler import answers
from tests.server import free_port
from tests.workshop import clean_environment, until

PAGE = Path(__file__).parents[2] / "docs" / "behind-a-proxy.md"
NGINX = """
{user}
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{ }}
http {{
    access_log off;
    {paths}
    {server}
}}
"""
BODIES = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
CADDY = "{{\n    admin off\n    auto_https disable_redirects\n    storage file_system {folder}\n}}\n{site}"


def documented(kind: str) -> str:
    """The configuration of the page, which must be the only one of its kind."""
    (found,) = re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)
    return str(found)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    cert, key = folder / "cert.pem", folder / "key.pem"
    if shutil.which("openssl") is None:
        lacks("openssl", "apt-get install openssl")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(cert)],
        capture_output=True, check=True,
    )  # fmt: skip
    return cert, key


@contextmanager
def nginx(folder: Path, port: int, server: str) -> Iterator[None]:
    """nginx on a port of this machine, before the server at `server` (host and port)."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        lacks("nginx", "apt-get install nginx-light")
    cert, key = certificate(folder)
    text = _replaced(documented("nginx"), {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl", "server_name example.org": "server_name localhost",
        "/etc/ssl/example.org.pem": str(cert), "/etc/ssl/example.org.key": str(key), "127.0.0.1:8321": server,
    })  # fmt: skip
    paths = "\n    ".join(f"{name}_temp_path {folder}/{name};" for name in BODIES)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(NGINX.format(user=user, folder=folder, paths=paths, server=text))
    with _running([program, "-p", str(folder), "-c", str(folder / "nginx.conf")], port):
        yield


@contextmanager
def caddy(folder: Path, port: int, server: str) -> Iterator[None]:
    """Caddy likewise."""
    if (program := shutil.which("caddy")) is None:
        lacks("caddy", "apt-get install caddy")
    cert, key = certificate(folder)
    site = f"https://localhost:{port} {{\n    bind 127.0.0.1\n    tls {cert} {key}"
    text = _replaced(documented("caddy"), {"example.org {": site, "127.0.0.1:8321": server})
    (folder / "Caddyfile").write_text(CADDY.format(folder=folder, site=text))
    with _running([program, "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")], port):
        yield


def _replaced(text: str, given: dict[str, str]) -> str:
    for old, new in given.items():
        assert old in text, f"{PAGE.name} says no longer {old!r}"
        text = text.replace(old, new)
    return text


@contextmanager
def _running(command: list[str], port: int) -> Iterator[None]:
    environment = clean_environment() | {"HOME": str(Path(command[-1]).parent)}
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment)
    try:
        until(lambda: answers(port), f"{Path(command[0]).name} listens")
        yield
    finally:
        process.terminate()
        process.wait()


PROXIES = {"nginx": nginx, "caddy": caddy}


@contextmanager
def before(kind: str, folder: Path, server: str) -> Iterator[str]:
    """The address of a proxy of this kind before a server."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with PROXIES[kind](folder, port, server):
        yield f"https://localhost:{port}"
