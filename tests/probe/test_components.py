"""Optional parts are found by distribution, by module, by library or by device, and told to be absent otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from sgldoctor.facts import Row
from sgldoctor.probe.components import components
from sgldoctor.probe.target import Target


def found(root: Path, name: str, installed: list[Row] | None = None, environ: dict[str, str] | None = None) -> Row:
    target = Target(str(root), "", "/env", ("/env/site",), "3.11", environ or {}, "test", "venv")
    return next(row for row in components(target, installed or []) if row["name"] == name)


def put(root: Path, path: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text("")


@pytest.mark.parametrize("name", ["deepep", "gdrcopy", "nvshmem", "mooncake", "nixl", "vllm"])
def test_absent(tmp_path: Path, name: str) -> None:
    assert found(tmp_path, name) == {"name": name, "present": False, "version": "", "where": "", "variant": ""}


@pytest.mark.parametrize(
    ("name", "distribution", "variant"),
    [
        ("deepep", "sgl-deep-ep", ""),
        ("deepep", "deep-ep", ""),
        ("nvshmem", "nvidia-nvshmem-cu12", "cu12"),
        ("mooncake", "mooncake-transfer-engine-cuda13", ""),
        ("nixl", "nixl-cu13", "cu13"),
        ("vllm", "vllm", ""),
    ],
)
def test_a_distribution(tmp_path: Path, name: str, distribution: str, variant: str) -> None:
    row = found(tmp_path, name, [{"name": "other", "version": "9"}, {"name": distribution, "version": "1.2"}])
    assert row == {"name": name, "present": True, "version": "1.2", "where": distribution, "variant": variant}


def test_a_module_without_metadata(tmp_path: Path) -> None:
    put(tmp_path, "env/site/deep_ep/__init__.py")
    assert found(tmp_path, "deepep")["where"] == "/env/site/deep_ep"


def test_nvshmem_by_its_variable(tmp_path: Path) -> None:
    (tmp_path / "opt/nvshmem").mkdir(parents=True)
    assert found(tmp_path, "nvshmem", environ={"NVSHMEM_HOME": "/opt/nvshmem"})["present"]
    assert not found(tmp_path, "nvshmem", environ={"NVSHMEM_HOME": "/opt/gone"})["present"]


def test_gdrcopy_by_library_or_device(tmp_path: Path) -> None:
    put(tmp_path, "dev/gdrdrv")
    assert found(tmp_path, "gdrcopy")["where"] == "/dev/gdrdrv"
    put(tmp_path, "usr/local/lib/libgdrapi.so.2")
    put(tmp_path, "usr/local/lib/libgdrapi.so.2.5.1")
    row = found(tmp_path, "gdrcopy")
    assert (row["where"], row["version"]) == ("/usr/local/lib/libgdrapi.so.2", "2.5.1")
    put(tmp_path, "opt/mine/libgdrapi.so.2.4")
    assert found(tmp_path, "gdrcopy", environ={"LD_LIBRARY_PATH": "/opt/mine"})["version"] == "2.4"
