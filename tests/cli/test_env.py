"""``sgldoctor env``: what is exported and what never is; sourced by real shells, twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sgldoctor.__main__ import main
from sgldoctor.actions.variables import render
from sgldoctor.derive.exports import Export, needed
from sgldoctor.facts import Facts

SHELLS = {"bash": "bash", "zsh": "zsh", "fish": "fish", "csh": "tcsh"}
TOOLKIT = {"home": "/opt/cuda", "exists": True, "nvcc": "/opt/cuda/bin/nvcc", "version": "12.8", "source": "default"}


def facts(**tables: Any) -> Facts:
    made = Facts()
    for name, rows in tables.items():
        made.put(name.replace("__", "."), rows, "probe")
    return made


def names(exports: list[Export]) -> list[tuple[str, str]]:
    return [(export.name, export.value) for export in exports]


def nothing(_folder: str) -> list[str]:
    return []


def test_a_fitting_toolkit_is_named_once() -> None:
    found, notes = needed(facts(toolkit=TOOLKIT, torch={"cuda": "12.8"}), {"PATH": "/usr/bin"}, nothing)
    assert names(found) == [("CUDA_HOME", "/opt/cuda"), ("PATH", "/opt/cuda/bin")]
    assert notes == []
    found, _ = needed(facts(toolkit=TOOLKIT), {"PATH": "/opt/cuda/bin:/usr/bin"}, nothing)
    assert names(found) == [("CUDA_HOME", "/opt/cuda")]


@pytest.mark.parametrize("change", [{"version": "13.0"}, {"version": ""}, {"exists": False}, {"nvcc": ""}])
def test_any_other_toolkit_is_not(change: dict[str, Any]) -> None:
    found, _ = needed(facts(toolkit={**TOOLKIT, **change}, torch={"cuda": "12.8"}), {}, nothing)
    assert found == []


def test_a_sound_environment_needs_no_library_path() -> None:
    found, _ = needed(facts(libraries__unresolved=[]), {}, nothing)
    assert found == []


def test_the_folder_of_a_library_that_is_really_not_found() -> None:
    place = "/venv/lib/python3.12/site-packages/nvidia/cudnn/lib/libcudnn.so.9"
    row = {"library": "libcudnn.so.9", "place": place, "kind": "wheel", "owner": "torch"}
    (export,), _ = needed(facts(libraries__unresolved=[row]), {}, nothing)
    assert (export.name, export.value, export.prepend) == ("LD_LIBRARY_PATH", place.rpartition("/")[0], True)
    driver = {"library": "libcuda.so.1", "place": "/stubs/libcuda.so.1", "kind": "driver"}
    assert needed(facts(libraries__unresolved=[driver]), {}, nothing)[0] == []


def test_gdrcopy_for_nvshmem_unless_its_folder_hides_a_wheels_library() -> None:
    rows = [
        {"name": "deepep", "present": True, "where": "deep-ep"},
        {"name": "gdrcopy", "present": True, "where": "/opt/gdrcopy/lib/libgdrapi.so.2"},
    ]
    found, notes = needed(facts(components=rows), {}, lambda _: ["libgdrapi.so.2"])
    assert names(found) == [("LD_LIBRARY_PATH", "/opt/gdrcopy/lib")]
    found, notes = needed(facts(components=rows), {}, lambda _: ["libgdrapi.so.2", "libcudnn.so.9"])
    assert found == []
    assert "libcudnn.so.9" in notes[0]
    rows[1]["where"] = "/usr/lib/x86_64-linux-gnu/libgdrapi.so.2"
    assert needed(facts(components=rows), {}, nothing)[0] == []


def test_nvshmem_of_its_own_where_deepep_does_not_find_one() -> None:
    rows = [{"name": "deepep", "present": True, "where": "/s/deep_ep"}]
    lost = [{"library": "libnvshmem_host.so.3", "place": "", "kind": "wheel"}]
    found, _ = needed(facts(components=rows, libraries__unresolved=lost), {"NVSHMEM_DIR": "/opt/nvshmem/"}, nothing)
    assert names(found) == [("LD_LIBRARY_PATH", "/opt/nvshmem/lib")]


def test_what_shadows_is_told() -> None:
    row = {"folder": "/usr/local/cuda/lib64", "problem": "shadows", "library": "libcudnn.so.9"}
    _, notes = needed(facts(environment__library_path=[row]), {}, nothing)
    assert "take /usr/local/cuda/lib64 out" in notes[0]


@pytest.mark.parametrize("before", [None, "", "/old:/older"])
@pytest.mark.parametrize("value", ["/plain", "/with blank", "/quote'd", "/a$HOME!x"])
@pytest.mark.parametrize("shell", sorted(SHELLS))
def test_sourced_twice_adds_once(shell: str, value: str, before: str | None, tmp_path: Path) -> None:
    program = shutil.which(SHELLS[shell])
    if not program:
        pytest.skip(f"no {SHELLS[shell]} here")
    script = tmp_path / "env"
    script.write_text(
        render(Export("LD_LIBRARY_PATH", value, prepend=True, why=""), shell)
        + render(Export("CUDA_HOME", value, prepend=False, why=""), shell),
        encoding="utf-8",
    )
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    if before is not None:
        environ["LD_LIBRARY_PATH"] = before
    show = f"source {script}; source {script}; env"
    flags = ["-f"] if shell in ("csh", "zsh") else []
    done = subprocess.run([program, *flags, "-c", show], env=environ, capture_output=True, text=True, check=True)
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert seen["LD_LIBRARY_PATH"] == (f"{value}:{before}" if before else value)
    assert seen["CUDA_HOME"] == value


def test_an_environment_with_a_toolkit_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "cuda"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "nvcc").write_text("#!/bin/sh\n", encoding="utf-8")
    (home / "bin" / "nvcc").chmod(0o755)
    (home / "version.json").write_text('{"cuda": {"name": "CUDA SDK", "version": "12.8.1"}}', encoding="utf-8")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    monkeypatch.setenv("CUDA_HOME", str(home))
    assert main(["env", "--venv", str(venv), "--shell", "bash"]) == 0
    said = capsys.readouterr().out
    assert f"export CUDA_HOME='{home}'" in said
    assert f"'{home}/bin'" in said
    assert main(["env", "--venv", str(venv), "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert [export["name"] for export in answer["exports"]] == ["CUDA_HOME", "PATH"]
