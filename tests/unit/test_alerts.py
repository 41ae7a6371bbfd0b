"""Streaks: told at their first run that is not well, each day, and once when they are over."""

from __future__ import annotations

from queuectl.domain.alerts import REMIND_EACH_S, Streak, Trouble, Verdict, ended, followed, reminded
from queuectl.domain.hooks import pinged

HOUR = 3600.0


def bad(at: float, trouble: Trouble = Trouble.FAILING) -> Verdict:
    return Verdict(at, at - 1, trouble, f"job-{at:.0f}")


def good(at: float) -> Verdict:
    return Verdict(at, at - 1, None, f"job-{at:.0f}")


def told(*verdicts: Verdict, streak: Streak | None = None) -> tuple[Streak | None, list[str]]:
    after, news = followed(streak, verdicts, 100.0)
    return after, [each.state for each in news]


def test_a_streak_is_told_once_and_once_when_it_is_over() -> None:
    streak, said = told(good(1), bad(2), bad(3))
    assert said == ["failing"]
    assert streak == Streak(2.0, 100.0, bad(3))
    assert told(bad(4), good(5), streak=streak) == (None, ["recovered"])
    assert told(good(5), bad(6), good(7), bad(8))[1] == ["failing", "recovered", "failing"]


def test_verdicts_count_in_the_order_in_which_they_became_known() -> None:
    assert told(good(3), bad(2)) == (None, ["failing", "recovered"])


def test_a_streak_that_changes_is_the_same_streak() -> None:
    streak, said = told(bad(2, Trouble.LATE), bad(3))
    assert said == ["late"]
    assert streak is not None
    assert streak.state is Trouble.FAILING


def test_a_streak_is_told_again_each_day() -> None:
    streak = Streak(0.0, 0.0, bad(1))
    assert reminded(streak, REMIND_EACH_S - 1) == (streak, [])
    again, news = reminded(streak, REMIND_EACH_S)
    assert ([each.state for each in news], again.told_at) == (["failing"], REMIND_EACH_S)
    assert reminded(again, REMIND_EACH_S + HOUR) == (again, [])


def test_an_end_that_is_too_late_says_nothing() -> None:
    assert ended(True, 0.0, 2 * HOUR, "a", None, HOUR) is None
    assert ended(True, 0.0, HOUR, "a", None, HOUR) == Verdict(HOUR, 0.0, None, "a")
    assert ended(True, 0.0, 2 * HOUR, "a", None, None) == Verdict(2 * HOUR, 0.0, None, "a")
    assert ended(False, 0.0, 2 * HOUR, "a", "exit code 1", HOUR) == Verdict(
        2 * HOUR, 0.0, Trouble.FAILING, "a", "exit code 1"
    )


def test_a_ping_has_its_word_in_the_path() -> None:
    assert pinged("https://hc.example/uuid", "start") == "https://hc.example/uuid/start"
    assert pinged("https://hc.example/uuid/?rid=1", "fail") == "https://hc.example/uuid/fail?rid=1"
