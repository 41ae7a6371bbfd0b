"""Follows an output in asyncio: each step of the reading is done in a thread."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator

from queuectl.client.following import Piece


async def asynchronously(pieces: Generator[Piece, None, None]) -> AsyncGenerator[Piece, None]:
    """The pieces as they come. They need ticks, so that an abandoned reading ends soon."""
    import asyncio  # a third of a program's start, if it does not use it otherwise

    running = asyncio.get_running_loop()
    while True:
        step = running.run_in_executor(None, next, pieces, None)
        try:
            piece = await asyncio.shield(step)
        except asyncio.CancelledError:
            step.add_done_callback(lambda _: pieces.close())  # the thread is back within a second
            raise
        if piece is None:
            return
        if piece[1]:
            try:
                yield piece
            except GeneratorExit:
                pieces.close()
                raise
