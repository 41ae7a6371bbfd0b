#!/bin/sh
# mcp 2.3.0 (the official Python SDK), Python 3.11
#
# What: a tool takes `stdin: str | None`; a client passes texts that happen to be JSON, as programs read and write it.
# Expected: the tool is given each text as it is, as it would be with `stdin: str`. The schema says that a string is right.
# Seen: whatever is not annotated as exactly `str` is first read as JSON. An object or a list is then refused, because it
# is not a string, and the text "null" arrives as None, without a word. An optional text works until somebody sends JSON.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'mcp==2.3.0'
"$place/venv/bin/python" - <<'PYTHON'
import asyncio

from mcp import Client
from mcp.server import MCPServer

server = MCPServer("commands")


@server.tool()
def plain(stdin: str) -> str:
    """Takes a text."""
    return repr(stdin)


@server.tool()
def optional(stdin: str | None = None) -> str:
    """Takes a text or nothing."""
    return repr(stdin)


async def main() -> None:
    async with Client(server) as client:
        for text, becomes in (("a line", "'a line'"), ("12", "'12'"), ('{"a": 1}', None), ("[1]", None), ("null", "None")):
            asked = {"stdin": text}
            as_plain, as_optional = [await client.call_tool(name, asked) for name in ("plain", "optional")]
            answer = None if as_optional.is_error else as_optional.content[0].text
            print(text, "->", as_plain.content[0].text, answer or "refused")
            assert as_plain.content[0].text == repr(text)
            assert answer == becomes, "an optional text is taken otherwise now"


asyncio.run(main())
PYTHON
echo "as seen"
