"""The address that people use, where a proxy stands in front of the server.

With `--public-url https://host/queue` every page, link, redirect and cookie is for that address. The proxy may pass the
path on as it is, or without `/queue`. Pages are written for the root; `under` puts the path in front.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import SplitResult, urlsplit

from queuectl.domain.errors import Invalid
from queuectl.typed import NamedTuple

LOOPBACK = ("127.0.0.1", "::1")
"""The proxies that are trusted with `--public-url`, unless others are named."""
ADDRESSES = re.compile(r'(?<=\s)(href|src|action|hx-get)="/(?!/)')
"""Attributes that a browser follows. No other text of a page has bare quotes: values are escaped."""


class PublicUrl(NamedTuple):
    """Where people find the server. `path` is empty or begins with a slash; it never ends with one."""

    origin: str
    host: str
    path: str

    @property
    def is_secure(self) -> bool:
        return self.origin.startswith("https:")


def parse_public_url(text: str) -> PublicUrl:
    """The address. Raises `Invalid`."""
    parts = _split(text)
    if parts is None or parts.query or parts.fragment:
        raise Invalid(f"--public-url {text!r} is not an address", "write it as https://HOST or https://HOST/PATH")
    path = parts.path.rstrip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", path) or {".", ".."} & set(path.split("/")):
        raise Invalid(
            f"--public-url {text!r}: the path may have only A-Z a-z 0-9 . _ ~ -", "such as https://HOST/queue"
        )
    netloc = parts.netloc.lower().removesuffix({"http": ":80", "https": ":443"}[parts.scheme])
    return PublicUrl(origin=f"{parts.scheme}://{netloc}", host=parts.hostname or "", path=path)


def _split(text: str) -> SplitResult | None:
    """The parts of an address with a host; None if it is not one."""
    try:
        parts = urlsplit(text)
        is_whole = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        return None
    return parts if is_whole and re.fullmatch(r"[A-Za-z0-9_.:\[\]-]+", parts.netloc) else None


def refuse_pages(public: PublicUrl, pages: Iterable[str]) -> None:
    """Refuses a path that begins as one of the server's own pages: `/jobs/a` could be the page of job a."""
    first = public.path.split("/")[1:2]
    if first and first[0] in {page.split("/")[1] for page in pages}:
        raise Invalid(f"--public-url: the dashboard itself has a page /{first[0]}", "choose another path")


def trusted_proxies(texts: Iterable[str]) -> list[str]:
    """Addresses and networks of proxies, checked. Raises `Invalid`."""
    found = []
    for text in texts:
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            raise Invalid(f"--trust-forwarded {text!r}: {error}", "such as 127.0.0.1 or 10.0.0.0/24") from None
        found.append(text)
    return found


def within(path: str, root: str) -> str:
    """The path as the server's own routes know it, whether the proxy has removed `root` or not."""
    if root and (path == root or path.startswith(f"{root}/")):
        return path[len(root) :] or "/"
    return path


def under(root: str, html: str) -> str:
    """A page whose addresses are below `root`."""
    return ADDRESSES.sub(rf'\1="{root}/', html) if root else html
