"""Which places are refused for a store. Real mounts are in tests/fault/test_store_places.py."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from queuectl.domain.errors import StoreUnavailable
from queuectl.store import mounts

Mounted = Callable[..., None]
LINE = b"36 35 98:0 / %s rw,noatime shared:1 - %s %s rw\n"


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mounted:
    """Replaces the kernel's table: pairs of mount point and kind, after a local root."""

    def write(*pairs: tuple[bytes | Path, str]) -> None:
        table = tmp_path / "mountinfo"
        lines = [LINE % (os.fsencode(place).replace(b" ", b"\\040"), kind.encode(), b"x") for place, kind in pairs]
        table.write_bytes(b"".join([LINE % (b"/", b"ext4", b"/dev/sda1"), *lines]))
        monkeypatch.setattr(mounts, "MOUNTS", table)

    return write


def check(path: Path) -> None:
    mounts.refuse_unsafe(str(path), str(path.parent / ".queuectl.db.d"))


def refusal(path: Path) -> StoreUnavailable:
    with pytest.raises(StoreUnavailable) as refused:
        check(path)
    return refused.value


@pytest.mark.parametrize(
    "kind", ["nfs4", "cifs", "lustre", "gpfs", "beegfs", "virtiofs", "vboxsf", "glusterfs", "ceph"]
)
def test_network_and_shared_file_systems_are_refused(mounted: Mounted, tmp_path: Path, kind: str) -> None:
    mounted((tmp_path, kind))
    error = refusal(tmp_path / "queuectl.db")
    assert f"a network file system ({kind})" in error.message
    assert "put the store on a local disk, e.g. --db ~/queuectl.db" in error.hint


def test_a_windows_drive_under_wsl_is_named_as_such(mounted: Mounted, tmp_path: Path) -> None:
    mounted((tmp_path, "9p"))
    assert "a Windows drive" in refusal(tmp_path / "queuectl.db").message


@pytest.mark.parametrize("kind", ["fuse.glusterfs", "fuse.sshfs", "fuse.mergerfs", "fuse.rclone", "fuse"])
def test_other_fuse_file_systems_need_their_owners_word(mounted: Mounted, tmp_path: Path, kind: str) -> None:
    mounted((tmp_path, kind))
    error = refusal(tmp_path / "queuectl.db")
    assert kind in error.message
    said = error.hint.partition("touch ")[2]
    Path(said).parent.mkdir()
    Path(said).touch()
    check(tmp_path / "queuectl.db")


@pytest.mark.parametrize("kind", ["ext4", "btrfs", "zfs", "tmpfs", "overlay", "fuseblk", "fuse.fuse-overlayfs"])
def test_local_file_systems_are_taken(mounted: Mounted, tmp_path: Path, kind: str) -> None:
    mounted((tmp_path, kind))
    check(tmp_path / "queuectl.db")


def test_the_last_and_deepest_mount_counts(mounted: Mounted, tmp_path: Path) -> None:
    path = tmp_path / "queuectl.db"
    mounted((tmp_path.parent, "nfs4"), (tmp_path, "ext4"))
    check(path)
    mounted((tmp_path, "ext4"), (tmp_path, "nfs4"))
    refusal(path)
    mounted((tmp_path / "queuectl", "nfs4"), (tmp_path / "q", "nfs4"))
    check(path)


def test_a_local_place_is_proposed_where_the_home_is_shared(
    mounted: Mounted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    mounted((tmp_path, "nfs4"))
    assert f"--db /var/tmp/queuectl-{os.getuid()}/queuectl.db" in refusal(tmp_path / "queuectl.db").hint


def test_mount_points_of_any_bytes_are_read(mounted: Mounted, tmp_path: Path) -> None:
    strange = os.fsencode(tmp_path) + b"/\xff \xc2\x85 \x0b"
    mounted((strange, "nfs4"), (b"/mnt/\xc2\x85", "ext4"))
    check(tmp_path / "queuectl.db")
    refusal(Path(os.fsdecode(strange)) / "queuectl.db")


def test_a_file_that_is_a_mount_point_is_refused(mounted: Mounted, tmp_path: Path) -> None:
    path = tmp_path / "queuectl.db"
    mounted((path, "ext4"))
    error = refusal(path)
    assert f"{path} is a mount point itself" in error.message
    assert error.hint == f"mount its folder {tmp_path} instead of the file"
