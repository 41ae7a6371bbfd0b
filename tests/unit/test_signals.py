"""What a worker hears of signals."""

from __future__ import annotations

import os
import signal

from queuectl.engine.dispatch.wakeup import wait_readable
from queuectl.engine.signals import Signals
from tests.workshop import PATIENCE_S


def test_a_signal_is_readable_until_it_is_cleared() -> None:
    with Signals() as signals:
        assert signals.take() == []
        assert not wait_readable([signals.fileno()], 0)
        os.kill(os.getpid(), signal.SIGHUP)
        assert wait_readable([signals.fileno()], PATIENCE_S)
        assert signals.take() == ["SIGHUP"]
        signals.clear()
        assert not wait_readable([signals.fileno()], 0)
        os.kill(os.getpid(), signal.SIGTERM)
        assert wait_readable([signals.fileno()], PATIENCE_S)
        signals.clear()
        assert signals.take() == ["SIGTERM"], "what is cleared is not lost"
