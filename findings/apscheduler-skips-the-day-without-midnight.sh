#!/bin/sh
# APScheduler 3.11.3, tzdata 2025.2, Python 3.11
#
# What: a job each day at 00:30 in Santiago. On 2026-09-06 clocks there go from 24:00 to 01:00, so 00:30 is missing.
# Expected: one run that day, just after the gap, as Debian's cron does; for a gap at another hour (Berlin, 02:30) there
# is one, an hour late by the wall clock.
# Seen: no run on that day at all, while the missing 02:30 of Berlin runs at 03:30.
# Fails when that changes.
set -eu
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
python3 -m venv "$place/venv"
"$place/venv/bin/pip" install --quiet --disable-pip-version-check 'APScheduler==3.11.3' 'tzlocal==5.3.1' 'tzdata==2025.2'
PYTHONTZPATH="" "$place/venv/bin/python" - <<'PYTHON'
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger


def fires(zone: str, hour: int, after: datetime, count: int) -> list[str]:
    trigger, found, previous = CronTrigger(hour=hour, minute=30, timezone=ZoneInfo(zone)), [], None
    now = after
    for _ in range(count):
        previous = trigger.get_next_fire_time(previous, now)
        found.append(previous.astimezone(timezone.utc).strftime("%m-%d %H:%M"))
        now = previous.astimezone(timezone.utc) + timedelta(seconds=1)
    return found


santiago = fires("America/Santiago", 0, datetime(2026, 9, 5, 12, tzinfo=timezone.utc), 2)
berlin = fires("Europe/Berlin", 2, datetime(2026, 3, 28, 12, tzinfo=timezone.utc), 2)
print("Santiago", santiago, "Berlin", berlin)
assert not any(each.startswith("09-06") for each in santiago), "the day is no longer skipped"
assert berlin[0] == "03-29 01:30", "Berlin's missing time is treated otherwise now"
PYTHON
echo "as seen"
