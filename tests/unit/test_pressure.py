"""When a worker starts nothing because of its machine, and how much memory that has left."""

from __future__ import annotations

from pathlib import Path

import pytest

from queuectl.engine.dispatch.machine import free_memory
from queuectl.engine.dispatch.pressure import why_not
from queuectl.wire.workers import WorkerOptions

GIB = 1 << 30
MEMINFO = "MemTotal: 16777216 kB\nMemAvailable: 4194304 kB\n"


@pytest.mark.parametrize(
    ("options", "load", "free", "why"),
    [
        (WorkerOptions(), 99.0, 0, None),
        (WorkerOptions(max_load=8), 7.99, 0, None),
        (WorkerOptions(max_load=8), 9.06, 0, "host load 9.1, at most 8"),
        (WorkerOptions(max_load=8), 8.0, 0, "host load 8.0, at most 8"),
        (WorkerOptions(min_free_memory=2 * GIB), 99.0, 2 * GIB, None),
        (WorkerOptions(min_free_memory=2 * GIB), 0.0, GIB, "free memory 1.0 GiB, at least 2.0 GiB"),
        (WorkerOptions(min_free_memory=2 * GIB), 0.0, None, None),
    ],
)
def test_a_worker_waits_for_its_machine(options: WorkerOptions, load: float, free: int | None, why: str | None) -> None:
    assert why_not(options, load, free) == why


def write(root: Path, **files: str) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (root / name.replace("__", ".")).write_text(text)


def test_free_memory_is_what_the_tightest_cgroup_leaves(tmp_path: Path) -> None:
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    assert free_memory(proc, cgroups) is None
    write(proc, meminfo=MEMINFO)
    write(proc / "self", cgroup="0::/pod/box\n")
    assert free_memory(proc, cgroups) == 4 * GIB
    stat = f"anon 5\ninactive_file {GIB // 2}\n"
    write(cgroups / "pod", memory__max=f"{3 * GIB}\n", memory__current=f"{2 * GIB}\n", memory__stat=stat)
    write(cgroups / "pod" / "box", memory__max="max\n", memory__current="1\n", memory__stat=stat)
    assert free_memory(proc, cgroups) == GIB + GIB // 2


def test_free_memory_of_a_container_with_older_cgroups(tmp_path: Path) -> None:
    proc, cgroups = tmp_path / "proc", tmp_path / "cgroup"
    write(proc, meminfo=MEMINFO)
    write(proc / "self", cgroup="5:cpu:/\n4:memory:/docker/gone\n")
    limit, used = f"{2 * GIB}\n", f"{GIB}\n"
    write(cgroups / "memory", memory__limit_in_bytes=limit, memory__usage_in_bytes=used)
    assert free_memory(proc, cgroups) == GIB
