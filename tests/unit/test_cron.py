"""What cron entries mean, and when they fire."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from queuectl.domain.cron import parse_cron
from queuectl.domain.cron_words import described
from queuectl.domain.errors import Invalid
from queuectl.domain.schedule import Act, CatchUp, Every, Overlap, Policy, decide, next_fire
from tests.model.cron_walk import ZONES
from tests.model.fuzz_cron import differences, stretches


def fires(text: str, zone: str, after: str, count: int) -> list[str]:
    """The first fires after a time, both in UTC."""
    at: float | None = datetime.fromisoformat(f"2026-{after}").replace(tzinfo=UTC).timestamp()
    found = []
    for _ in range(count):
        assert at is not None
        at = next_fire(parse_cron(text), at, ZoneInfo(zone))
        found.append("never" if at is None else f"{datetime.fromtimestamp(at, UTC):%m-%d %H:%M:%S}".removesuffix(":00"))
    return found


def days(text: str, count: int) -> list[str]:
    return [each[:5] for each in fires(text, "UTC", "01-01T00:00:00", count)]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("0 0 1 * 1", "01-05 01-12 01-19 01-26 02-01 02-02"),
        ("0 1 1-31 * 1", "01-01 01-02 01-03"),
        ("0 1 1,* * 1", "01-01 01-02 01-03"),
        ("0 0 */2 * 1", "01-05 01-19 02-09"),
        ("0 0 1 * */2", "02-01 03-01 08-01"),
        ("0 0 1-7 * */7", "01-04 02-01 03-01"),
        ("0 0 31 2 1", "02-02 02-09 02-16 02-23"),
        ("0 0 * * 5#3", "01-16 02-20 03-20"),
        ("0 0 * * fri#2", "01-09 02-13"),
        ("0 0 L * *", "01-31 02-28"),
        ("0 0 LW * *", "01-30 02-27"),
        ("0 0 15W * *", "01-15 02-16"),
        ("0 0 1W 8 *", "08-03"),
        ("0 0 31W 5 *", "05-29"),
        ("0 0 * * 5L", "01-30 02-27"),
        ("0 0 * * 7", "01-04 01-11"),
        ("@weekly", "01-04 01-11"),
        ("@yearly", "01-01"),
        ("0 1 */40 * *", "01-01 02-01"),
    ],
)
def test_the_day_fields_mean_what_debian_cron_means(text: str, first: str) -> None:
    assert days(text, len(first.split())) == first.split()


def test_a_step_begins_anew_with_each_hour() -> None:
    assert [each[6:] for each in fires("*/7 * * * *", "UTC", "01-01T00:45:00", 4)] == [
        "00:49", "00:56", "01:00", "01:07",
    ]  # fmt: skip


def test_a_29th_of_february_on_a_monday_is_found_decades_ahead() -> None:
    cron, at = parse_cron("0 0 */28 2 1"), datetime(2100, 3, 1, tzinfo=UTC).timestamp()  # the 1st and the 29th
    found = [at := next_fire(cron, at, UTC) or 0.0 for _ in range(3)]
    assert [f"{datetime.fromtimestamp(each, UTC):%Y-%m-%d}" for each in found] == [
        "2106-02-01", "2112-02-01", "2112-02-29",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("0 0 31 2 *", "no month"),
        ("5-1 * * * *", "in order"),
        ("0 22-2 * * *", "22,23,0,1,2"),
        ("0 0 * * 5-1", "5,6,0,1"),
        ("0 0 * * fri-mon", "5,6,0,1"),
        ("3/15 * * * *", "3-59/15"),
        ("60 * * * *", "0 to 59"),
        ("0 24 * * *", "0 to 23"),
        ("1.5 * * * *", "not understood"),
        ("1~10 * * * *", "not understood"),
        ("0 0 * * mon-fri/", "not understood"),
        ("*/0 * * * *", "step of 0"),
        ("0 0 * * 5#6", "not understood"),
        ("0 0 0 * *", "1 to 31"),
        ("0 0 * *", "4 fields"),
        ("0 0 * * * * *", "7 fields"),
        ("", "0 fields"),
        ("@reboot", "no time"),
        ("@dayly", "@daily"),
        ("٣ * * * *", "not understood"),
    ],
)
def test_what_would_never_fire_or_is_malformed_is_refused(text: str, hint: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_cron(text)
    assert hint in f"{refused.value.message} {refused.value.hint}"


@pytest.mark.parametrize(
    ("zone", "text", "after", "first"),
    [
        ("Europe/Berlin", "30 2 * * *", "03-28T12:00:00", "03-29 01:00, 03-30 00:30"),
        ("Europe/Berlin", "30 2 * * *", "10-24T12:00:00", "10-25 00:30, 10-26 01:30"),
        ("Europe/Berlin", "*/15 * * * *", "10-25T00:40:00", "10-25 00:45, 10-25 01:00, 10-25 01:15"),
        ("Europe/Berlin", "*/15 2 * * *", "03-28T12:00:00", "03-30 00:00"),
        ("Europe/Berlin", "*/30 2 * * *", "10-25T00:00:00", "10-25 00:30, 10-25 01:00, 10-25 01:30, 10-26 01:00"),
        ("Europe/Berlin", "15,45 2 * * *", "03-28T12:00:00", "03-29 01:00, 03-30 00:15"),
        ("Europe/Berlin", "30 0-23 * * *", "10-24T23:00:00", "10-24 23:30, 10-25 00:30, 10-25 02:30"),
        ("America/New_York", "30 2 * * *", "03-08T00:00:00", "03-08 07:00"),
        ("America/New_York", "30 1 * * *", "11-01T00:00:00", "11-01 05:30, 11-02 06:30"),
        ("America/Santiago", "30 0 * * *", "09-05T12:00:00", "09-06 04:00"),
        ("America/Santiago", "@daily", "09-05T12:00:00", "09-06 04:00, 09-07 03:00"),
        ("America/Santiago", "30 23 * * *", "04-04T12:00:00", "04-05 02:30, 04-06 03:30"),
        ("Australia/Lord_Howe", "15 2 * * *", "10-03T00:00:00", "10-03 15:30"),
        ("Australia/Lord_Howe", "45 1 * * *", "04-04T00:00:00", "04-04 14:45"),
        ("Africa/Casablanca", "30 2 * * *", "03-21T12:00:00", "03-22 02:00"),
        ("Africa/Casablanca", "30 2 * * *", "02-14T12:00:00", "02-15 01:30"),
        ("Asia/Beirut", "30 0 * * *", "03-28T12:00:00", "03-28 22:00"),
        ("Asia/Beirut", "30 23 * * *", "10-24T12:00:00", "10-24 20:30"),
        ("Antarctica/Troll", "30 1 * * *", "03-28T12:00:00", "03-29 01:00"),
        ("Antarctica/Troll", "30 1 * * *", "10-24T12:00:00", "10-24 23:30"),
        ("Asia/Gaza", "30 2 * * *", "03-27T12:00:00", "03-28 00:00"),
        ("Asia/Gaza", "30 1 * * *", "10-23T12:00:00", "10-23 22:30"),
        ("Europe/Berlin", "20 30 2 * * *", "03-28T12:00:00", "03-29 01:00, 03-30 00:30:20"),
        ("Europe/Berlin", "20 30 2 * * *", "10-24T12:00:00", "10-25 00:30:20, 10-26 01:30:20"),
        ("Europe/Berlin", "*/30 59 * * * *", "10-25T00:00:00", "10-25 00:59, 10-25 00:59:30, 10-25 01:59"),
    ],
)  # fmt: skip
def test_clock_changes_are_debian_crons(zone: str, text: str, after: str, first: str) -> None:
    assert fires(text, zone, after, first.count(",") + 1) == first.split(", ")


def test_random_entries_fire_as_by_walking_each_minute() -> None:
    assert differences(12, 7, stretches(ZONES[::4])) == []


def test_h_spreads_by_name_and_stays() -> None:
    texts = ["H H * * *", "H/15 * * * *", "H(0-29)/10 H(1-5) H * *"]
    for text in texts:
        assert len({parse_cron(text, f"job-{n}") for n in range(40)}) > 5
    stays = parse_cron("H H H * *", "backup")  # in all releases
    assert (stays.minutes, stays.hours, *stays.days.numbers) == ((38,), (20,), 20)
    assert len(parse_cron("H/15 * * * *", "a").minutes) == 4
    assert set(parse_cron("0 H(1-5) * * *", "a").hours) < set(range(1, 6))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 3 * * *", "at 03:00 each day; once each local day when clocks change"),
        ("* * * * *", "each minute; by elapsed time when clocks change"),
        ("*/20 * * * * *", "every 20 seconds; by elapsed time when clocks change"),
        ("*/7 * * * *", "minute */7 of each hour; by elapsed time when clocks change"),
        ("0 */5 * * * *", "every 5 minutes; by elapsed time when clocks change"),
        ("0 9 * * mon-fri", "at 09:00 on Monday to Friday; once each local day when clocks change"),
        ("* * * * * *", "each second; by elapsed time when clocks change"),
        ("* * 9 * * *", "each second of hour 9 each day; by elapsed time when clocks change"),
        ("0 9 L * *", "at 09:00 on the last day of the month; once each local day when clocks change"),
        ("0 9 15W * *", "at 09:00 on the weekday nearest to day 15; once each local day when clocks change"),
        ("0 9 LW * *", "at 09:00 on the last weekday of the month; once each local day when clocks change"),
        ("0 9 * * 6,0", "at 09:00 on Saturday or Sunday; once each local day when clocks change"),
        ("*/5 9-17 * * 1,5", "every 5 minutes of hour 9-17 on Monday or Friday; by elapsed time when clocks change"),
        ("0 0 1 * 1", "at 00:00 on day 1 of the month or on Monday; once each local day when clocks change"),
        ("0 0 */2 * 1", "at 00:00 on day */2 of the month if it is Monday; once each local day when clocks change"),
        ("0 12 * 7 5#3", "at 12:00 on the third Friday in Jul; once each local day when clocks change"),
        ("@hourly", "minute 0 of each hour; by elapsed time when clocks change"),
    ],
)  # fmt: skip
def test_an_expression_is_told_in_words(text: str, words: str) -> None:
    assert described(parse_cron(text)) == words


def test_an_interval_does_not_drift() -> None:
    every, zone = Every(300, anchor=1000.0), ZoneInfo("UTC")
    assert [next_fire(every, at, zone) for at in (999.9, 1000.0, 1299.0, 1700.5, 0)] == [1000, 1300, 1300, 1900, 100]


NOW = 100_000.0
MISSED = [NOW - 300, NOW - 200, NOW - 100]


@pytest.mark.parametrize(
    ("due", "policy", "unfinished", "running", "made"),
    [
        ([NOW - 1], Policy(), 0, 0, "+"),
        ([NOW - 1], Policy(), 1, 1, "-"),
        ([NOW - 1], Policy(Overlap.QUEUE), 0, 0, "+"),
        ([NOW - 1], Policy(Overlap.QUEUE), 1, 1, "q"),
        ([NOW - 1], Policy(Overlap.QUEUE), 1, 0, "-"),
        ([NOW - 1], Policy(Overlap.QUEUE), 2, 1, "-"),
        ([NOW - 1], Policy(Overlap.REPLACE), 1, 1, "r"),
        ([NOW - 1], Policy(Overlap.ALLOW), 3, 1, "+"),
        (MISSED, Policy(), 0, 0, "--+"),
        (MISSED, Policy(catch_up=CatchUp.SKIP), 0, 0, "---"),
        ([*MISSED, NOW - 1], Policy(catch_up=CatchUp.SKIP), 0, 0, "---+"),
        (MISSED, Policy(Overlap.ALLOW, CatchUp.ALL), 0, 0, "+++"),
        (MISSED, Policy(Overlap.SKIP, CatchUp.ALL), 0, 0, "+--"),
        (MISSED, Policy(Overlap.QUEUE, CatchUp.ALL), 1, 1, "q--"),
        (MISSED, Policy(Overlap.REPLACE, CatchUp.ALL), 0, 0, "+rr"),
        (MISSED, Policy(Overlap.ALLOW, CatchUp.ALL, late_max=150), 0, 0, "--+"),
        (MISSED, Policy(catch_up=CatchUp.ONE, late_max=50), 0, 0, "---"),
        ([NOW - 20], Policy(late_max=30), 0, 0, "+"),
        ([NOW - 20], Policy(late_max=10), 0, 0, "-"),
        ([NOW - 3, NOW - 2, NOW - 1], Policy(Overlap.ALLOW), 0, 0, "+++"),
        ([NOW - n for n in range(150, 0, -1)], Policy(Overlap.ALLOW, CatchUp.ALL), 0, 0, "-" * 50 + "+" * 100),
    ],
)  # fmt: skip
def test_what_becomes_of_fires_that_are_due(
    due: list[float], policy: Policy, unfinished: int, running: int, made: str
) -> None:
    decisions = decide(due, NOW, policy, unfinished, running)
    assert [each.at for each in decisions] == due
    acts = {Act.ENQUEUE: "+", Act.QUEUE: "q", Act.REPLACE: "r", Act.NOTHING: "-"}
    assert "".join(acts[each.act] for each in decisions) == made
    assert all(bool(each.reason) == (each.act is Act.NOTHING) for each in decisions)
