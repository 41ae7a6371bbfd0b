#!/bin/sh
# aiohttp 3.14.5, Python 3.11
#
# What: a client asks twice over one connection; the server reads the second request, a PUT, whole, and closes the
# connection instead of answering, as it does when it is killed while it works on it.
# Expected: an error, as with POST and as with other clients, since nobody knows whether the PUT was carried out.
# Seen: the PUT is sent again on a new connection, and the program is told only of the second answer, though it asked for
# no retry. A DELETE is repeated too, and may be told that there is nothing to delete.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'aiohttp==3.14.5'
"$place/venv/bin/python" - <<'PYTHON'
import asyncio
from collections.abc import AsyncIterator

import aiohttp

seen: list[str] = []


async def until_empty(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while (line := await reader.readline()).strip():
        yield line


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    answered = False
    while head := b"".join([line async for line in until_empty(reader)]):
        size = [int(line[15:]) for line in head.splitlines() if line.lower().startswith(b"content-length:")]
        await reader.readexactly(sum(size))
        method = head.split()[0].decode()
        seen.append(method)
        if answered and method != "GET" and seen.count(method) == 1:
            break
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        answered = True
    writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = "http://127.0.0.1:{}/".format(server.sockets[0].getsockname()[1])
    told: dict[str, object] = {}
    for method in ("PUT", "DELETE", "POST"):
        async with aiohttp.ClientSession() as session:
            async with session.get(url):
                pass
            try:
                async with session.request(method, url, data=b"x") as answer:
                    told[method] = answer.status
            except aiohttp.ServerDisconnectedError:
                told[method] = "disconnected"
    print(told, seen)
    assert told["POST"] == "disconnected" and seen.count("POST") == 1
    assert (told["PUT"], seen.count("PUT")) == (200, 2), "a PUT is not sent again now"
    assert (told["DELETE"], seen.count("DELETE")) == (200, 2), "a DELETE is not sent again now"


asyncio.run(main())
PYTHON
echo "as seen"
