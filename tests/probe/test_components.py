"""Optional parts are found by distribution, by module, by library or by device, and told to be absent otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from sgldoctor.facts import Row
from sgldoctor.probe.components import components
from sgldoctor.probe.target import Target
from tests.lab_env import shared_object


def found(root: Path, name: str, installed: list[Row] | None = None, environ: dict[str, str] | None = None) -> Row:
    target = Target(str(root), "", "/env", ("/env/site",), "3.11", environ or {}, "test", "venv")
    return next(row for row in components(target, installed or []) if row["name"] == name)


def put(root: Path, path: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text("")


@pytest.mark.parametrize("name", ["deepep", "gdrcopy", "nvshmem", "mooncake", "nixl", "vllm"])
def test_absent(tmp_path: Path, name: str) -> None:
    assert found(tmp_path, name) == {
        "name": name,
        "present": False,
        "version": "",
        "where": "",
        "variant": "",
        "registers": "",
    }


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
    assert row == {
        "name": name,
        "present": True,
        "version": "1.2",
        "where": distribution,
        "variant": variant,
        "registers": "",
    }


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


@pytest.mark.parametrize(
    ("wants", "text", "how"),
    [
        ([], b"", ""),
        (["ibv_reg_mr"], b"", "peermem"),
        (["ibv_reg_mr_iova2"], b"WITH_NVIDIA_PEERMEM\0", "peermem"),
        (["ibv_reg_mr", "ibv_reg_dmabuf_mr"], b"", "dmabuf"),
        (["ibv_reg_mr", "ibv_reg_dmabuf_mr"], b"\0WITH_NVIDIA_PEERMEM\0", "variable"),
    ],
)
def test_how_mooncake_registers_gpu_memory(tmp_path: Path, wants: list[str], text: bytes, how: str) -> None:
    """As its engine tells by what it imports and names; the wheels of 0.3.6, 0.3.8 and 0.3.13 differ in it."""
    site = tmp_path / "env/site"
    engine = shared_object(site / "mooncake/engine.cpython-311-x86_64-linux-gnu.so", wants=wants)
    with engine.open("ab") as stream:
        stream.write(bytes(1 << 20) + text)
    (site / "mooncake/__init__.py").write_text("")
    assert found(tmp_path, "mooncake")["registers"] == how


def test_an_engine_that_is_no_library_says_nothing(tmp_path: Path) -> None:
    site = tmp_path / "env/site"
    (site / "mooncake").mkdir(parents=True)
    (site / "mooncake/__init__.py").write_text("")
    (site / "mooncake/engine.so").write_bytes(b"garbage")
    assert found(tmp_path, "mooncake")["registers"] == ""
