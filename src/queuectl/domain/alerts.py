"""When somebody is told that the runs of a schedule fail or are late, and that they are well again. Pure.

A run is what a schedule adds for one of its times. It fails if its job dies. It is late if that has not ended well
within `expect_within` of the time it was for. The runs that are not well one after the other are a streak: it is told
at its first, each day, and once when it is over.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from queuectl.typed import NamedTuple

REMIND_EACH_S = 86400.0


class Trouble(StrEnum):
    """What is wrong with a run."""

    FAILING = "failing"
    LATE = "late"


RECOVERED = "recovered"


class Watch(NamedTuple):
    """What is done about the runs of a schedule. `alert`: the command or URL that is told of streaks. `ping`: the URL
    that is called at the start and the end of each run. `expect_within`: in how many seconds a run has to end well."""

    alert: str | None = None
    ping: str | None = None
    expect_within: float | None = None

    @property
    def has_streaks(self) -> bool:
        """Whether streaks are kept."""
        return self.alert is not None or self.expect_within is not None


class Verdict(NamedTuple):
    """How a run stands, as of `decided_at`: `trouble` is None if it is well. `at` is the time that it was for, `job`
    its id, if there is one; `why` says what is wrong."""

    decided_at: float
    at: float
    trouble: Trouble | None
    job: str | None = None
    why: str | None = None


class Streak(NamedTuple):
    """Runs that are not well, one after the other. `latest` is the last of them, `told_at` when that was last told."""

    since: float
    told_at: float
    latest: Verdict

    @property
    def state(self) -> Trouble:
        assert self.latest.trouble is not None
        return self.latest.trouble


class News(NamedTuple):
    """Something to tell: `failing`, `late` or `recovered`. `since`: when the streak has begun."""

    state: str
    since: float
    verdict: Verdict


def ended(
    well: bool, at: float, ended_at: float, job: str, why: str | None, expect_within: float | None
) -> Verdict | None:  # fmt: skip
    """What the end of a run means. None: one that ended well, but too late, says nothing; that it is late was told."""
    if not well:
        return Verdict(ended_at, at, Trouble.FAILING, job, why)
    if expect_within is not None and ended_at > at + expect_within:
        return None
    return Verdict(ended_at, at, None, job)


def followed(streak: Streak | None, verdicts: Iterable[Verdict], now: float) -> tuple[Streak | None, list[News]]:
    """The streak after these verdicts, and what there is to tell."""
    news = []
    for verdict in sorted(verdicts, key=lambda each: each.decided_at):
        if verdict.trouble is not None:
            if streak is None:
                streak = Streak(verdict.decided_at, now, verdict)
                news.append(News(verdict.trouble.value, streak.since, verdict))
            streak = streak._replace(latest=verdict)
        elif streak is not None:
            news.append(News(RECOVERED, streak.since, verdict))
            streak = None
    return streak, news


def reminded(streak: Streak, now: float) -> tuple[Streak, list[News]]:
    """The same once a day has passed since it was told."""
    if now < streak.told_at + REMIND_EACH_S:
        return streak, []
    return streak._replace(told_at=now), [News(streak.state.value, streak.since, streak.latest)]
