"""What a logged-in browser keeps in its cookie: not the token but a session, signed by this server.

A session names its token, so it ends when the token is revoked. The key is in a file of the store's folder, not in the
store: whoever gets a copy of the store cannot sign sessions, and a restart of the server ends none.
"""

from __future__ import annotations

import hmac
import re

from queuectl import ids
from queuectl.clock import SystemClock
from queuectl.domain.token import Token

KEEP_S = 30 * 86400
"""How long a browser stays logged in."""
NONCE_LENGTH = 16
FORM = re.compile(r"([0-9a-z]{1,64})\.(\d{1,12})\.([0-9a-z]{16})\.([0-9a-f]{64})")


class Sessions:
    """Signs sessions and reads them."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._now = SystemClock().now

    def begin(self, token: Token) -> str:
        """A new session of a token's holder."""
        text = f"{token.id}.{int(self._now()) + KEEP_S}.{ids.random_id(NONCE_LENGTH)}"
        return f"{text}.{self._signature(text)}"

    def token_id(self, session: str) -> str | None:
        """The id of the token that a session is for; None if it has expired or was not signed here."""
        found = FORM.fullmatch(session)
        if found is None or not hmac.compare_digest(self._signature(session.rpartition(".")[0]), found[4]):
            return None
        return found[1] if int(found[2]) > self._now() else None

    def _signature(self, text: str) -> str:
        return hmac.digest(self._key, text.encode(), "sha256").hex()
