"""What `token create` and `token list` tell people."""

from __future__ import annotations

from collections.abc import Sequence

from queuectl.cli.call import Call
from queuectl.cli.render import Column
from queuectl.domain.token import Token
from queuectl.wire.words import ago

COLUMNS = (Column("NAME"), Column("ROLE"), Column("ID"), Column("CREATED", right=True), Column("BY"), Column("USED"))


def print_made(call: Call, made: tuple[Token, str], now: float) -> None:
    """A new token, once."""
    token, text = made
    call.console.print(text)
    call.console.note(f"token {token.name} ({token.role}); it is not shown again", "shown_once")


def print_all(call: Call, tokens: Sequence[Token], now: float) -> None:
    """Lists tokens, without their text."""
    console = call.console
    if console.quiet:
        console.lines(token.name for token in tokens)
    elif tokens:
        rows = [
            (
                token.name, token.role.value, token.id, ago(max(0.0, now - token.created_at)), token.created_by or "",
                "never" if token.used_at is None else ago(max(0.0, now - token.used_at)),
            )
            for token in tokens
        ]  # fmt: skip
        console.table(COLUMNS, rows)
    else:
        console.note(f"no token yet; make the first one with: {call.command('serve')}", "no_token")
