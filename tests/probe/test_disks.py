from __future__ import annotations

from pathlib import Path

from sgldoctor.probe.disks import disks
from tests.probe.machine import target


def test_room_on_disks(tmp_path: Path) -> None:
    made = target("/", {"HOME": str(tmp_path), "HF_HOME": f"{tmp_path}/not/yet/there", "TMPDIR": "nowhere"})
    rows = {row["for"]: row for row in disks(made).rows("disks")}
    assert set(rows) == {"models", "caches"}
    assert rows["models"]["path"] == f"{tmp_path}/not/yet/there/hub"
    assert 0 < rows["models"]["free_mib"] <= rows["models"]["total_mib"]
    assert rows["models"]["writable"] is True


def test_no_disks_of_a_folder(tmp_path: Path) -> None:
    assert not disks(target(tmp_path)).known("disks")
