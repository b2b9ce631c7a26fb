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


def test_the_folder_that_flashinfer_makes_when_it_is_imported(tmp_path: Path) -> None:
    """By the home or its own variable, never by XDG_CACHE_HOME; a release that makes none asks for none."""
    core = tmp_path / "site/flashinfer/jit/core.py"
    core.parent.mkdir(parents=True)
    core.write_text("os.makedirs(jit_env.FLASHINFER_WORKSPACE_DIR, exist_ok=True)\n")

    def asked(**more: str) -> list[str]:
        environ = {"HOME": f"{tmp_path}/home", "XDG_CACHE_HOME": f"{tmp_path}/xdg", **more}
        made = target("/", environ)._replace(sites=(f"{tmp_path}/site",))
        return [str(row["path"]) for row in disks(made).rows("disks") if row["for"] == "flashinfer"]

    assert asked() == [f"{tmp_path}/home/.cache/flashinfer"]
    assert asked(FLASHINFER_WORKSPACE_BASE=f"{tmp_path}/big") == [f"{tmp_path}/big/.cache/flashinfer"]
    core.write_text("pass\n")
    assert asked() == []
