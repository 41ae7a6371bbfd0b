"""What a dispatcher's loop sleeps through, and what wakes it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from queuectl.domain.errors import StoreUnavailable
from queuectl.engine.dispatch.loop import Loop
from queuectl.engine.dispatch.wakeup import Wakeup
from queuectl.engine.signals import Signals
from tests.workshop import PATIENCE_S


@contextmanager
def a_loop(log: Path, has_news: Callable[[], bool]) -> Iterator[Loop]:
    dispatcher: Any = SimpleNamespace(channels=list, pace=SimpleNamespace(is_busy=lambda now: False))
    manager: Any = None
    with Signals() as signals, closing(Loop(dispatcher, Wakeup(str(log), has_news), signals, manager)) as loop:
        yield loop


def test_word_of_a_commit_wakes_it_once_the_commit_can_be_seen(tmp_path: Path) -> None:
    log, looks = tmp_path / "log", list[int]()
    log.touch()

    def has_news() -> bool:
        looks.append(1)
        return len(looks) == 5

    with a_loop(log, has_news) as loop:
        loop._sleep(0)  # listens from now on
        log.write_text("a write that is to be synced")
        began = time.monotonic()
        loop._sleep(PATIENCE_S)
        assert (len(looks), time.monotonic() - began < PATIENCE_S) == (5, True)


def test_a_store_that_cannot_be_asked_wakes_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()

    def has_news() -> bool:
        raise StoreUnavailable("the disk fails", "")

    with a_loop(log, has_news) as loop:
        loop._sleep(0)
        log.write_text("a write")
        began = time.monotonic()
        loop._sleep(PATIENCE_S)
        assert time.monotonic() - began < PATIENCE_S


def test_a_signal_wakes_it_each_time(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    with a_loop(log, lambda: False) as loop:
        for name in ("SIGHUP", "SIGTERM"):
            os.kill(os.getpid(), signal.Signals[name])
            began = time.monotonic()
            loop._sleep(PATIENCE_S)
            assert time.monotonic() - began < PATIENCE_S
            assert loop._signals.take() == [name]
        began = time.monotonic()
        loop._sleep(0.01)
        assert time.monotonic() - began >= 0.01, "what it was told of does not wake it again"
