#!/bin/sh
# mcp 2.3.0 (the official Python SDK), Python 3.11
#
# What: a tool that returns a list of two numbers, called by the SDK's own client.
# Expected: one text with the JSON of the list, beside the structured value, as the specification asks for.
# Seen: one text for each element, and no text has the list; the structured value is not the list but {"result": [...]}.
# A client that reads texts cannot tell a list of one from a plain value, and of an empty list it sees nothing.
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

server = MCPServer("numbers")


@server.tool()
def first(count: int) -> list[int]:
    """The first numbers."""
    return list(range(count))


async def main() -> None:
    async with Client(server) as client:
        for count in (2, 1, 0):
            found = await client.call_tool("first", {"count": count})
            texts = [block.text for block in found.content]
            print(count, texts, found.structured_content)
            assert texts == [str(n) for n in range(count)], "the texts are others now"
            assert found.structured_content == {"result": list(range(count))}, "the value is another now"


asyncio.run(main())
PYTHON
echo "as seen"
