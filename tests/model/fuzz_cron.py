"""Compares when random cron entries fire with a walk over each minute, around every clock change of five years.

python -m tests.model.fuzz_cron [--entries N] [--seed N] [--zones N]
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo

from queuectl.domain.cron import Cron, parse_cron
from queuectl.domain.errors import Invalid
from queuectl.domain.schedule import next_fire
from tests.model.cron_walk import AROUND_MIN, ZONES, Entry, Minutes, changes, walked

SEARCH_MAX_S = 0.02
HARD = (
    "0 0 29 2 *", "0 0 */28 2 1", "59 23 29 2 *", "*/59 */23 */29 2 0", "* 2 29 2 *", "0 0 31 1,3 5#5", "0 0 LW 2 *",
    "30 2 29 2 *", "* * */31 12 6", "0 0 15W 2 *",
)  # fmt: skip
"""Entries whose next fire may be far away."""


def stretches(names: Iterable[str]) -> list[tuple[ZoneInfo, Minutes]]:
    """The minutes around each clock change of these zones."""
    zones = [ZoneInfo(name) for name in names]
    return [(zone, walked(at - 60 * AROUND_MIN, 2 * AROUND_MIN, zone)) for zone in zones for at in changes(zone)]


def fires(cron: Cron, zone: ZoneInfo, minutes: Minutes) -> list[int]:
    """When an entry fires within these minutes."""
    at, end, found = float(minutes[0][0] - 1), minutes[-1][0], []
    while (following := next_fire(cron, at, zone)) is not None and following <= end:
        found.append(int(following))
        at = following
    return found


def differences(entries: int, seed: int, where: Sequence[tuple[ZoneInfo, Minutes]]) -> list[str]:
    """A line for each entry and change where both disagree."""
    draw, told = random.Random(seed), []
    for _ in range(entries):
        entry = Entry(draw)
        try:
            cron = parse_cron(entry.text)
        except Invalid as error:
            if "never fires" not in error.message:
                told.append(f"{entry.text}: {error.message}")
            continue
        for zone, minutes in where:
            ours, walk = fires(cron, zone, minutes), entry.fires(minutes)
            if ours != walk:
                told.append(f"{entry.text} in {zone.key} from {minutes[0][0]}: {ours} instead of {walk}")
    return told


def slowest(entries: int, seed: int, zones: Sequence[str]) -> tuple[float, str]:
    """The longest search, in seconds, and of which entry; each is the best of three."""
    draw, worst = random.Random(seed), (0.0, "")
    for text in (*HARD, *(Entry(draw).text for _ in range(entries))):
        try:
            cron = parse_cron(text)
        except Invalid:
            continue
        for name in zones:
            zone, after = ZoneInfo(name), draw.uniform(1.7e9, 4.2e9)
            worst = max(worst, (min(_timed(cron, after, zone) for _ in range(3)), f"{text} in {name} after {after}"))
    return worst


def _timed(cron: Cron, after: float, zone: ZoneInfo) -> float:
    began = time.perf_counter()
    next_fire(cron, after, zone)
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--zones", type=int, default=len(ZONES))
    args = parser.parse_args()
    where, began = stretches(ZONES[: args.zones]), time.monotonic()
    print(f"seed {args.seed}: {args.entries} entries, {len(where)} clock changes", flush=True)
    told = differences(args.entries, args.seed, where)
    print("\n".join(told[:20]) or f"no difference; {time.monotonic() - began:.0f} s")
    longest, whose = slowest(args.entries // 10, args.seed, ZONES[: args.zones])
    print(f"longest search: {longest * 1000:.1f} ms, {whose}")
    return bool(told) or longest > SEARCH_MAX_S


if __name__ == "__main__":
    sys.exit(main())
