"""The scales of charts."""

from __future__ import annotations

import pytest

from queuectl.client.figures import Percentiles
from queuectl.web.pages.charts import times


@pytest.mark.parametrize(
    ("longest_s", "top", "middle"),
    [
        (0.05, "60ms", "30ms"), (0.9, "1s", "500ms"), (12, "20s", "10s"), (45, "1m", "30s"),
        (61, "2m", "1m"), (303, "6m", "3m"), (1900, "40m", "20m"), (3000, "1h", "30m"), (4000, "2h", "1h"),
        (30_000, "12h", "6h"), (86_400, "1d", "12h"), (100_000, "2d", "1d"), (999_999, "20d", "10d"),
    ],
)  # fmt: skip
def test_a_scale_of_durations_ends_at_one_that_is_told_in_one_unit(longest_s: float, top: str, middle: str) -> None:
    content = times([], Percentiles())
    most = content.round(longest_s)
    assert most >= longest_s
    assert (content.text(most), content.text(most / 2)) == (top, middle)
