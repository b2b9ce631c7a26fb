"""An environment that wants to run something of its own when it is examined: nothing of it is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROGRAMS = (
    "python", "python3", "pip", "uv", "conda", "sglang", "nvidia-smi", "nvcc", "gcc", "g++", "cc", "c++", "ninja",
    "cmake", "ldd", "ldconfig", "readelf", "objdump", "git", "modinfo", "modprobe", "lsmod", "lspci", "dmesg",
    "journalctl", "ibv_devinfo", "ibstat", "rdma", "ulimit", "numactl", "df", "uname", "docker", "ray", "which",
)  # fmt: skip
MODULES = ("torch", "sglang", "sgl_kernel", "transformers", "flashinfer", "deep_ep", "numpy", "triton", "nvidia")
OURS = ("pynvml", "rich", "packaging", "tomli", "json", "typing", "sitecustomize", "usercustomize", "sgldoctor")
"""What the doctor itself imports, or Python at its start."""


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """The folder into which whatever runs writes its name."""
    folder = tmp_path / "trap"
    folder.mkdir()
    return folder


@pytest.fixture
def hostile(tmp_path: Path, trap: Path) -> Path:
    """A virtual environment of traps: programs, modules, start-up files, entry points, a loader's audit library."""
    venv = tmp_path / "venv"
    site = venv / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    site.mkdir(parents=True)
    (venv / "bin").mkdir()
    (venv / "pyvenv.cfg").write_text(f"home = {venv}/bin\nversion = 3.{sys.version_info.minor}.0\n")
    for name in PROGRAMS:
        program = venv / "bin" / name
        program.write_text(f"#!/bin/sh\n: > '{trap}/{name}'\n")
        program.chmod(0o755)
    spring = "open({!r}, 'w').close()\n"
    for name in MODULES:
        (site / name).mkdir()
        (site / name / "__init__.py").write_text(spring.format(f"{trap}/{name}"))
        (site / name / "version.py").write_text("__version__ = '9'\n" + spring.format(f"{trap}/{name}.version"))
        info = site / f"{name}-9.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 9.0\nRequires-Dist: torch==8\n")
        (info / "entry_points.txt").write_text(
            f"[sgldoctor.rules]\nx = {name}:__file__\n[console_scripts]\ny = {name}:z\n"
        )
        (info / "RECORD").write_text(f"{name}/__init__.py,sha256=x,1\n../../../../outside,,\n/etc/passwd,,\n")
    for name in OURS:
        (site / f"{name}.py").write_text(spring.format(f"{trap}/{name}.py"))
    (site / "a.pth").write_text(f"import os; {spring.format(f'{trap}/pth')}")
    with zipfile.ZipFile(site / "z.egg", "w") as egg:
        egg.writestr("zipped.py", spring.format(f"{trap}/egg"))
    (site / "easy-install.pth").write_text("./z.egg\n")
    (site / "rules.toml").write_text("x = 1\n")
    return venv


def check(venv: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": f"{venv}/bin{os.pathsep}{os.environ['PATH']}",
        "HOME": str(cwd),
        "VIRTUAL_ENV": str(venv),
        "CUDA_HOME": str(venv),
    }
    command = [sys.executable, "-I", "-m", "sgldoctor", "check", "--format", "json", *arguments]
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("how", ["active", "--venv", "--python"])
def test_nothing_of_it_is_run(hostile: Path, trap: Path, how: str) -> None:
    named = {"active": [], "--venv": ["--venv", str(hostile)], "--python": ["--python", f"{hostile}/bin/python"]}[how]
    done = check(hostile, *named, cwd=hostile / "lib" / f"python3.{sys.version_info.minor}" / "site-packages")
    report = json.loads(done.stdout)
    assert report["facts"]["torch"]["version"] in ("9", "9.0"), "the environment was not examined at all"
    assert done.returncode == 1
    assert sorted(path.name for path in trap.iterdir()) == []


def test_the_traps_work(hostile: Path, trap: Path) -> None:
    """Without this, the test above could not fail."""
    site = hostile / "lib" / f"python3.{sys.version_info.minor}" / "site-packages"
    subprocess.run([f"{hostile}/bin/nvidia-smi"], check=True)
    command = (
        f"import site; site.addsitedir({str(site)!r}); import sys; sys.path.insert(0, {str(site)!r}); import torch"
    )
    subprocess.run([sys.executable, "-I", "-c", command], check=True)
    assert {"nvidia-smi", "torch", "pth"} <= {path.name for path in trap.iterdir()}
