"""Makes, checks and revokes tokens for access over HTTP, among them this machine's own.

A token's text is shown once, when it is made; the store has only its digest. The one that `serve` makes for itself is
also in a file of the store's folder, for its owner only, so that the login address can be printed again.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path

from queuectl import ids
from queuectl.client.documents import NEW_TOKEN, TOKEN
from queuectl.client.operation import ADMINISTRATION, TEXT, WEB, Argument, Command, plain
from queuectl.client.shapes import listed
from queuectl.domain.errors import Conflict, Invalid, NotFound, QueuectlError
from queuectl.domain.likeness import nearest
from queuectl.domain.token import Role, Token
from queuectl.places import open_or_empty
from queuectl.store.past import Deed
from queuectl.store.port import Store

FILE_NAME = "token"
KEY_NAME, KEY_LENGTH = "session-key", 52
OWN_NAME = "serve"
"""The name of the token that `serve` makes for itself."""
NAME = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}"
USED_EVERY_S = 60.0
"""Least time between two notes of a token's use."""
BYTES_MAX = 200
"""Longer texts are not checked."""


def names_in(address: str) -> list[str]:
    """The names of the tokens that people made in the store there, as far as it can be read."""
    with suppress(QueuectlError), closing(open_or_empty(address)) as store:
        return names_of(store.tokens())
    return []


def names_of(found: Iterable[Token]) -> list[str]:
    """The names of those that people made."""
    return [token.name for token in found if token.name != OWN_NAME]


def tokens(store: Store, who: str) -> list[Token]:
    """All tokens."""
    return store.tokens()


LIST = plain(
    "tokens", "GET", "/tokens", ADMINISTRATION, "List tokens", tokens, listed(TOKEN.kind),
    "each token, without its text", full_only=True,
    command=Command(
        name="token list", group=WEB, help="list the tokens", examples=("queuectl token list",),
        description="List the tokens with their names, roles and last use.",
    ),
)  # fmt: skip


def create(store: Store, who: str, name: str, role: str = Role.READ_ONLY) -> tuple[Token, str]:
    """Makes a token. Returns it with its text, which is not stored. Raises `Invalid`, `Conflict`."""
    if not re.fullmatch(NAME, name):
        raise Invalid(
            f"token name {name!r} is not valid", "1 to 64 of A-Z a-z 0-9 . _ @ -, the first a letter or digit"
        )
    if role not in (*Role,):
        raise Invalid(f"unknown role {role!r}", nearest(role, [each.value for each in Role]))
    text = ids.token_text()
    token = Token(
        id=ids.random_id(8), digest=digest(text), name=name, role=Role(role), created_at=store.now(), created_by=who
    )
    with store.transaction():
        store.add_token(token)
        store.add_deed(Deed(at=token.created_at, kind="TokenCreated", who=who, detail=f"{name} ({role})"))
    return token, text


CREATE = plain(
    "create_token", "POST", "/tokens", ADMINISTRATION, "Make a token and show it once", create, NEW_TOKEN,
    "the token", status=201, fails=(409,),
    arguments=(
        Argument("name", TEXT._replace(schema={"type": "string", "pattern": f"^{NAME}$"})),
        Argument(
            "role", TEXT._replace(schema={"type": "string", "enum": [Role.FULL.value, Role.READ_ONLY.value]}),
            "full or read-only (default: read-only)", Role.READ_ONLY.value, "--role ROLE",
        ),
    ),
    command=Command(
        name="token create", group=WEB, help="make a token for access over HTTP", makes_store=True,
        description="Make a token for the REST API and the dashboard. It is printed once; the store keeps only its "
        "digest. Anyone with a full token can run commands as you.",
        examples=("queuectl token create monitor", "queuectl token create alice --role full"),
    ),
)  # fmt: skip


def revoke(store: Store, who: str, ref: str) -> Token:
    """Revokes a token, given by name or id. Raises `NotFound`."""
    with store.transaction():
        token = next((each for each in store.tokens() if ref in (each.name, each.id)), None)
        if token is None:
            raise NotFound(f"no token {ref}", "see: queuectl token list")
        store.remove_token(token.id)
    return token


REVOKE = plain(
    "revoke_token", "DELETE", "/tokens/{ref}", ADMINISTRATION, "Revoke a token, by name or id", revoke, TOKEN.kind,
    "revoked", status=204, deed=("TokenRevoked", "{name} ({role})"), fails=(404,),
    arguments=(Argument("ref", TEXT, spelled="NAME", each=True),),
    command=Command(
        name="token revoke", group=WEB, help="revoke a token", said="revoked {name}",
        description="Revoke tokens by name or id. Servers refuse them within a second.",
        examples=("queuectl token revoke monitor",),
    ),
)  # fmt: skip


def admit(store: Store, text: str) -> Token | None:
    """The token with this text, or None. Notes its use."""
    if len(text) > BYTES_MAX or not text.isascii():
        return None
    return _used(store, store.token_of(digest(text)))


def admit_id(store: Store, token_id: str) -> Token | None:
    """The token with this id, or None. Notes its use."""
    return _used(store, next((each for each in store.tokens() if each.id == token_id), None))


def _used(store: Store, token: Token | None) -> Token | None:
    if token is not None and (token.used_at is None or store.now() - token.used_at > USED_EVERY_S):
        store.use_token(token.id, store.now())
    return token


def digest(text: str) -> str:
    """The digest that the store keeps of a token. A fast one is safe: nobody can guess 260 bits."""
    return sha256(text.encode()).hexdigest()


def own_token(store: Store, who: str) -> str:
    """This machine's own token, from its file; made if there is none, or if it was revoked."""
    path = store.folder / FILE_NAME
    text = _read(path)
    if text is not None and store.token_of(digest(text)) is not None:
        return text
    text = _create_own(store, who)
    _write(path, text)
    return text


def session_key(store: Store) -> bytes:
    """The key that signs sessions, from its file; made if there is none."""
    path = store.folder / KEY_NAME
    while (text := _read(path)) is None:
        _write(path, ids.random_id(KEY_LENGTH), replace=False)
    return text.encode()


def _create_own(store: Store, who: str) -> str:
    taken = {token.name for token in store.tokens()}
    name = next(each for each in _own_names() if each not in taken)
    try:
        return create(store, who, name, Role.FULL)[1]
    except Conflict:  # another server starts at the same time
        return _create_own(store, who)


def _own_names() -> list[str]:
    host = re.sub(r"[^A-Za-z0-9._@-]", "-", os.uname().nodename)[:40]
    return [f"{OWN_NAME}-{host}", *(f"{OWN_NAME}-{host}-{number}" for number in range(2, 10_000))]


def _read(path: Path) -> str | None:
    try:
        with path.open() as file:
            return file.read(BYTES_MAX).strip() or None
    except FileNotFoundError:
        return None


def _write(path: Path, text: str, replace: bool = True) -> None:
    """Writes the file at once, readable only for its owner. Without `replace`, one that is there already stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w") as file:
        file.write(text + "\n")
    if replace:
        draft.replace(path)
        return
    with suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
