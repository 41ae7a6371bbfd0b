"""`token …`: tokens for access over HTTP."""

from __future__ import annotations

from queuectl.cli.call import Call
from queuectl.cli.render import Column
from queuectl.client.documents import TOKEN
from queuectl.wire.words import ago

COLUMNS = (Column("NAME"), Column("ROLE"), Column("ID"), Column("CREATED", right=True), Column("BY"), Column("USED"))


def create(call: Call) -> int:
    """Makes a token and prints it once."""
    (name,) = call.words
    with call.client() as client:
        token, text = client.create_token(name, call.args.role)
    if call.console.as_json:
        call.console.json({**TOKEN.json(token), "token": text})
        return 0
    call.console.print(text)
    call.console.note(f"token {token.name} ({token.role}); it is not shown again", "shown_once")
    return 0


def list_tokens(call: Call) -> int:
    """Lists tokens, without their text."""
    console = call.console
    with call.client() as client:
        tokens, now = client.tokens(), client.now()
    if console.as_json:
        console.json_array(map(TOKEN.json, tokens))
    elif console.quiet:
        console.lines(token.name for token in tokens)
    elif tokens:
        rows = [
            (
                token.name, token.role.value, token.id, ago(now - token.created_at), token.created_by or "",
                "never" if token.used_at is None else ago(max(0.0, now - token.used_at)),
            )
            for token in tokens
        ]  # fmt: skip
        console.table(COLUMNS, rows)
    else:
        console.note(f"no token yet; make the first one with: {call.command('serve')}", "no_token")
    return 0


def revoke(call: Call) -> int:
    """Revokes tokens."""
    with call.client() as client:
        tokens = [client.revoke_token(ref) for ref in call.words]
    if call.console.as_json:
        call.console.json_array(map(TOKEN.json, tokens))
    else:
        call.console.lines(token.name if call.console.quiet else f"revoked {token.name}" for token in tokens)
    return 0
