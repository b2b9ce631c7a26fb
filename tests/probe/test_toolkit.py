from __future__ import annotations

from pathlib import Path

import pytest

from sgldoctor.probe.toolkit import toolkit
from tests.probe.machine import lay, target

VERSION = '{"cuda" : {"name" : "CUDA SDK", "version" : "12.8.1"}, "nvcc": {"version": "12.8.93"}}'


def cuda(root: Path, home: str = "/usr/local/cuda-12.8", nvcc: bool = True) -> Path:
    lay(root, {f"{home}/version.json": VERSION, **({f"{home}/bin/nvcc": "#!/bin/sh\n"} if nvcc else {})})
    if nvcc:
        (root / f"{home}/bin/nvcc".lstrip("/")).chmod(0o755)
    return root


def test_default_through_the_images_own_links(tmp_path: Path) -> None:
    root = lay(cuda(tmp_path), {"/usr/local/cuda": "->/etc/alternatives/cuda"})
    lay(root, {"/etc/alternatives/cuda": "->/usr/local/cuda-12.8"})
    row = toolkit(target(root)).one("toolkit")
    assert (row["home"], row["exists"], row["source"], row["version"]) == ("/usr/local/cuda", True, "default", "12.8")
    assert row["nvcc"] == "/usr/local/cuda/bin/nvcc"


def test_cuda_home_wins_even_if_it_is_not_there(tmp_path: Path) -> None:
    row = toolkit(target(cuda(tmp_path), {"CUDA_HOME": "/nonexistent", "PATH": "/usr/local/cuda-12.8/bin"})).one(
        "toolkit"
    )
    assert (row["home"], row["exists"], row["nvcc"]) == ("/nonexistent", False, "")
    assert row["path_nvcc"] == "/usr/local/cuda-12.8/bin/nvcc"


def test_found_by_path(tmp_path: Path) -> None:
    row = toolkit(target(cuda(tmp_path), {"PATH": "/usr/bin:/usr/local/cuda-12.8/bin"})).one("toolkit")
    assert (row["home"], row["source"]) == ("/usr/local/cuda-12.8", "PATH")


def test_runtime_image_without_compiler(tmp_path: Path) -> None:
    row = toolkit(target(cuda(tmp_path, nvcc=False), {"CUDA_PATH": "/usr/local/cuda-12.8"})).one("toolkit")
    assert (row["exists"], row["nvcc"], row["source"]) == (True, "", "CUDA_PATH")


@pytest.mark.parametrize(
    ("files", "release"),
    [
        ({"version.txt": "CUDA Version 10.2.89\n"}, "10.2"),
        ({"include/cuda.h": "/* x */\n#define CUDA_VERSION 13000\n"}, "13.0"),
        ({"targets/x86_64-linux/include/cuda.h": "#define CUDA_VERSION 12060\n"}, "12.6"),
        ({"version.json": "not json", "include/cuda.h": ""}, ""),
    ],
)
def test_versions(tmp_path: Path, files: dict[str, str], release: str) -> None:
    root = lay(tmp_path, {f"/opt/cuda/{name}": text for name, text in files.items()})
    assert toolkit(target(root, {"CUDA_HOME": "/opt/cuda/"})).value("toolkit", "version") == release


@pytest.mark.parametrize("value", [":/usr/local/cuda", "relative", "\0", "/" * 5000, "$HOME/cuda"])
def test_odd_values_do_not_raise(tmp_path: Path, value: str) -> None:
    row = toolkit(target(tmp_path / "absent", {"CUDA_HOME": value})).one("toolkit")
    assert row["home"] == value
    assert row["nvcc"] == ""


def test_none(tmp_path: Path) -> None:
    assert toolkit(target(tmp_path)).one("toolkit") == {
        "home": "", "exists": False, "nvcc": "", "version": "", "source": "", "path_nvcc": "",
    }  # fmt: skip
