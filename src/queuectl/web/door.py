"""Who may come in: checks tokens and sessions, caches known tokens, and counts wrong ones.

Wrong tokens are counted by client and by how the token begins, so that nobody guesses on, and nobody keeps others out:
a token that was accepted before and a session are let in however many wrong ones have come.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict

from queuectl.client import tokens
from queuectl.domain.token import Token
from queuectl.web import problems
from queuectl.web.ask import Clients
from queuectl.web.sessions import Sessions

KNOWN_FOR_S = 1.0
"""A revoked token is refused within this time."""
FAILURES_MAX, FAILURES_WITHIN_S = 10, 60.0
COUNTED_MAX = 1024
"""Clients, and beginnings of tokens, whose failures are remembered."""
PREFIX_LENGTH = 12
"""`qctl_` and 7 random characters: no two tokens share them, and 45 unknown ones remain."""
NETWORK_BITS = 64
"""One client's share of IPv6, who may take any address in it."""


class Door:
    """Checks tokens and sessions against the store."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._known: dict[str, tuple[float, int, Token]] = {}
        self._by_client, self._by_prefix = Failures(), Failures()
        self._sessions: Sessions | None = None

    async def token(self, text: str, address: str) -> Token:
        """The token of this text. Raises `Unauthenticated`, or `TooMany` after many failures."""
        digest = tokens.digest(text) if len(text) <= tokens.BYTES_MAX else ""
        if (token := self._fresh(digest)) is not None:
            return token
        client, prefix = client_of(address), text[:PREFIX_LENGTH]
        if digest not in self._known:
            self._by_client.refuse(client)
            self._by_prefix.refuse(prefix)
        token = await self._clients.run("", lambda store: store.admit(text))
        if token is None:
            self._known.pop(digest, None)
            self._by_client.note(client)
            self._by_prefix.note(prefix)
            raise problems.Unauthenticated("unknown token", "see: queuectl token list")
        self._keep(digest, token)
        return token

    async def begin(self, token: Token) -> str:
        """A new session for a browser that has shown its token."""
        return (await self._signer()).begin(token)

    async def session(self, text: str) -> Token:
        """The token that a session is for. Raises `Unauthenticated`.

        An old session is no guess, and nobody guesses a signature, so none is counted.
        """
        ended = problems.Unauthenticated("this session has ended", "log in again")
        token_id = (await self._signer()).token_id(text)
        if token_id is None:
            raise ended
        if (token := await self._by_id(token_id)) is None:
            raise ended
        return token

    async def knows(self, token: Token) -> bool:
        """Whether a token that was let in is still valid."""
        return await self._by_id(token.id) is not None

    async def _by_id(self, token_id: str) -> Token | None:
        if (token := self._fresh(token_id)) is not None:
            return token
        token = await self._clients.run("", lambda store: store.admit_id(token_id))
        if token is None:
            self._known.pop(token_id, None)
        else:
            self._keep(token_id, token)
        return token

    def forget(self) -> None:
        """Empties the cache of tokens."""
        self._known.clear()

    def _fresh(self, key: str) -> Token | None:
        """The token known by this digest or id, if it was looked up just now."""
        found = self._known.get(key)
        if found is None or time.monotonic() - found[0] >= KNOWN_FOR_S or found[1] != self._clients.replacements:
            return None
        return found[2]

    def _keep(self, key: str, token: Token) -> None:
        self._known[key] = (time.monotonic(), self._clients.replacements, token)

    def belongs_to(self, clients: Clients) -> bool:
        """Whether the tokens are in the store of these clients."""
        return clients is self._clients

    async def _signer(self) -> Sessions:
        if self._sessions is None:
            self._sessions = Sessions(await self._clients.run("", lambda store: store.session_key()))
        return self._sessions


class Failures:
    """The latest failures by name; the names that failed longest ago are forgotten first."""

    def __init__(self) -> None:
        self._times: OrderedDict[str, list[float]] = OrderedDict()

    def refuse(self, name: str) -> None:
        """Raises `TooMany` if there were too many in the last minute."""
        since = time.monotonic() - FAILURES_WITHIN_S
        recent = [at for at in self._times.get(name, ()) if at > since]
        if len(recent) >= FAILURES_MAX:
            raise problems.TooMany("too many attempts with a wrong token", recent[0] - since)

    def note(self, name: str) -> None:
        """One more."""
        times = self._times.setdefault(name, [])
        times.append(time.monotonic())
        del times[:-FAILURES_MAX]
        self._times.move_to_end(name)
        if len(self._times) > COUNTED_MAX:
            self._times.popitem(last=False)


def client_of(address: str) -> str:
    """The client at an address, by which failures are counted: with IPv6 its network."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]  # what a trusted proxy wrote
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.ip_network((found, NETWORK_BITS), strict=False))
