"""Notes for people while a command waits for jobs: once, why they do not run, or that nobody drives their worker; and
when the store is unavailable."""

from __future__ import annotations

import os
import time

from queuectl.cli.call import Call
from queuectl.cli.notes import note_undriven
from queuectl.client.facade import Client
from queuectl.client.facts import reason_words
from queuectl.client.values import Explanation
from queuectl.client.workers import serves
from queuectl.domain.errors import StoreUnavailable
from queuectl.domain.job import Job, JobState
from queuectl.domain.selector import Selector

TOLD_AFTER_S = 1.0
LOOK_EVERY_S = 2.0
LOOK_AT_RUNNING_EVERY_S = 10.0
LOOKED_AT = 100
"""Most jobs whose reasons are read."""
WAYS_OUT = {
    "held": "let it run with", "no_worker": "start one with", "paused": "resume it with",
    "expired": "the next worker cancels it; start one with",
}  # fmt: skip
"""How the command that opens a gate is announced, by the gate's code."""


class Onlooker:
    """Called at least every second by a command that waits for these jobs; may raise `KeyboardInterrupt`."""

    def __init__(self, call: Call, client: Client, jobs: Selector) -> None:
        self._call = call
        self._client = client
        self._jobs = jobs
        self.told = False
        """Whether it is printed already why the jobs wait."""
        self._look_at = time.monotonic() + TOLD_AFTER_S

    def __call__(self) -> None:
        self._call.console.interruptible()
        if self.told or time.monotonic() < self._look_at:
            return
        self._look_at = time.monotonic() + LOOK_EVERY_S
        try:
            self.told = self._tell()
        except StoreUnavailable:
            pass  # the waiting command reports it

    def _tell(self) -> bool:
        """Whether there is something to tell now, and it is told."""
        running = self._client.find(self._jobs._replace(states=(JobState.PROCESSING,)), limit=LOOKED_AT)
        if running:
            self._look_at = time.monotonic() + LOOK_AT_RUNNING_EVERY_S
            return note_undriven(self._call, self._client, running)
        if why := self._why():
            self._call.console.note(why, "waits")
        return bool(why)

    def say(self, text: str) -> None:
        """Notes that the store is unavailable, or available again."""
        self._call.console.note(text, "store")

    def _why(self) -> str | None:
        """Why none of the jobs, of which none is running, is about to; None if one is."""
        if self._client.find(self._jobs._replace(states=(JobState.FAILED,)), limit=1):
            return None
        jobs = self._client.find(self._jobs._replace(states=(JobState.PENDING, JobState.BLOCKED)), limit=LOOKED_AT)
        if not jobs:
            return None
        first = next((job for job in jobs if job.state is JobState.PENDING), jobs[0])
        (found,) = self._client.explanations([first], self._call.console.time)
        reason = self._own_slot(first) or reason_words(first, found.reason, self._client.now(), self._call.console.time)
        if reason is None or reason == "next in line":
            return None
        others = "others" if len(jobs) == LOOKED_AT else f"{len(jobs) - 1} more"
        named = first.id if len(jobs) == 1 else f"{first.id} and {others}"
        return f"waiting for {named}: {reason}{self._way_out(found)}"

    def _way_out(self, found: Explanation) -> str:
        gate = found.gates[0] if found.gates else None
        if gate is None or gate.fix is None or gate.code not in WAYS_OUT:
            return ""
        return f"; {WAYS_OUT[gate.code]}: {self._call.on_this_store(gate.fix)}"

    def _own_slot(self, job: Job) -> str | None:
        """A warning if the job waits for the slot of the job that waits for it, or None."""
        serving = [worker for worker in self._client.workers() if serves(worker, job.queue)]
        slots = sum(worker.slots for worker in serving)
        running = [each.id for worker in serving for each in worker.running]
        own = os.environ.get("QUEUECTL_JOB_ID")
        if own not in running or len(running) < slots:
            return None
        held = "the only slot" if slots == 1 else f"one of all {slots} slots"
        start = self._call.command("worker start")
        return f"it needs a slot, and {own}, which waits for it, holds {held}; start another worker with: {start}"
