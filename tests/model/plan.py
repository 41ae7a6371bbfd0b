"""What a simulated run is like."""

from __future__ import annotations

import random
from dataclasses import dataclass

FAULTS = (
    "kill a dispatcher", "freeze a dispatcher", "kill a supervisor", "freeze a supervisor", "lock the store",
    "take the store away", "set the clock", "start a worker", "stop a worker", "hang a supervisor", "reboot",
    "remove a folder", "remove all folders", "copy the store", "signal everything", "cut a worker's power",
)  # fmt: skip


@dataclass
class Plan:
    """What one run is like: how long, and how often what goes wrong. Each run has its own mixture."""

    lasts_s: float
    delay_max_s: float
    faults: list[str]
    faults_a_second: float
    acts_a_second: float
    killed_at_a_point: float
    asleep_at_a_point: float
    fails_at_commit: float
    loses_answers: float
    is_deaf: bool
    """Whether wake-ups get lost, so that only polling helps."""

    @classmethod
    def draw(cls, chance: random.Random) -> Plan:
        return cls(
            lasts_s=chance.uniform(3, 15), delay_max_s=chance.choice((0.001, 0.01, 0.3)),
            faults=[fault for fault in FAULTS if chance.random() < 0.6] or ["start a worker"],
            faults_a_second=chance.choice((0.3, 1.0, 3.0)), acts_a_second=chance.choice((0.5, 2.0)),
            killed_at_a_point=chance.choice((0.0, 0.001, 0.01)), asleep_at_a_point=chance.choice((0.0, 0.001, 0.01)),
            fails_at_commit=chance.choice((0.0, 0.0, 0.05)),
            loses_answers=chance.choice((0.0, 0.0, 0.05)), is_deaf=chance.random() < 0.1,
        )  # fmt: skip

    @staticmethod
    def nap_s(chance: random.Random) -> float:
        """How long something sleeps: mostly for a moment, sometimes beyond every patience."""
        return chance.choice((0.001, 0.02, 0.2, 1.0, 3.0, 7.0)) * chance.uniform(0.5, 1.5)
