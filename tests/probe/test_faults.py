"""Every file that a probe reads, at its worst: gone, unreadable, a folder, a pipe that never answers, garbage, huge.

The machine is laid out as files under a root; which files are read is found out by looking, so a probe that learns to
read another one is tested with it from then on.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sgldoctor import probe
from sgldoctor.facts import Facts
from sgldoctor.probe import rooted
from sgldoctor.probe.target import Target
from tests.probe.machine import lay

SITE = "/opt/venv/lib/python3.11/site-packages"
INFO = f"{SITE}/torch-2.9.1.dist-info"
FILES: dict[str, str | bytes] = {
    "/proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release\n",
    "/proc/modules": "nvidia 1 0 - Live 0x0\nib_core 1 0 - Live 0x0\n",
    "/proc/meminfo": "MemTotal:       1024 kB\n",
    "/proc/self/cgroup": "0::/\n",
    "/proc/1/cgroup": "0::/\n",
    "/proc/1/environ": "container=podman\0",
    "/proc/net/if_inet6": "00000000000000000000000000000001 01 80 10 80       lo\n",
    "/proc/sys/kernel/osrelease": "6.1.0\n",
    "/sys/bus/pci/devices/0000:01:00.0/vendor": "0x10de\n",
    "/sys/bus/pci/devices/0000:01:00.0/class": "0x030200\n",
    "/sys/class/net/eth0/flags": "0x1003\n",
    "/sys/class/infiniband/mlx5_0/ports/1/state": "4: ACTIVE\n",
    "/sys/class/infiniband/mlx5_0/ports/1/link_layer": "InfiniBand\n",
    "/sys/class/infiniband/mlx5_0/ports/1/rate": "400 Gb/sec\n",
    "/sys/fs/cgroup/memory.max": "max\n",
    "/sys/fs/cgroup/cpu.max": "max 100000\n",
    "/etc/os-release": 'PRETTY_NAME="Debian"\n',
    "/etc/ld.so.cache": b"glibc-ld.so.cache1.1" + bytes(28),
    "/lib64/libc.so.6": b"GNU C Library (x) stable release version 2.36.\n",
    "/usr/local/cuda/version.json": '{"cuda": {"version": "12.8.0"}}',
    "/opt/venv/pyvenv.cfg": "home = /usr/bin\nversion = 3.11.7\n",
    "/opt/venv/bin/python": b"\x7fELF" + bytes(60),
    f"{SITE}/torch/version.py": "__version__ = '2.9.1'\ncuda = '12.8'\n",
    f"{SITE}/torch/__init__.py": "import os\n",
    f"{SITE}/torch/lib/libc10.so": b"\x7fELF" + bytes(60),
    f"{SITE}/torch/lib/libtorch_global_deps.so": b"\x7fELF" + bytes(60),
    f"{SITE}/sgl_kernel/__init__.py": "import torch\n",
    f"{SITE}/flashinfer/jit/env.py": "x = 1\n",
    f"{SITE}/sglang/__init__.py": "import os\n",
    f"{SITE}/sglang/_version.py": "__version__ = '0.5.8'\n",
    f"{INFO}/METADATA": "Name: torch\nVersion: 2.9.1\n\n",
    f"{INFO}/RECORD": "torch/__init__.py,sha256=x,10\ntorch/lib/libc10.so,sha256=x,64\n",
    f"{INFO}/INSTALLER": "uv",
    f"{INFO}/WHEEL": "Tag: cp311-cp311-linux\n",
    f"{INFO}/direct_url.json": '{"url": "file:///x", "dir_info": {}}',
    f"{SITE}/more.pth": "/opt/more\n",
    "/root/.cache/huggingface/hub/models--a--b/refs/main": "c0ffee",
    "/root/.cache/huggingface/hub/models--a--b/snapshots/c0ffee/model.safetensors.index.json": '{"weight_map": {}}',
    "/root/.cache/huggingface/token": "hf_x",
}


def gone(path: Path) -> None:
    path.unlink()


def unreadable(path: Path) -> None:
    path.chmod(0)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def garbage(path: Path) -> None:
    path.unlink()
    path.write_bytes(bytes(range(256)) * 64)


def huge(path: Path) -> None:
    path.unlink()
    with path.open("wb") as stream:
        stream.truncate(5 << 30)  # sparse: no byte of it is written


def endless(path: Path) -> None:
    """A link that leads back to itself."""
    path.unlink()
    path.symlink_to(path.name)


FAULTS: list[Callable[[Path], None]] = [gone, unreadable, folder, pipe, garbage, huge, endless]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return lay(tmp_path / "root", FILES)


def target(root: Path) -> Target:
    return Target(
        str(root), "/opt/venv/bin/python", "/opt/venv", (SITE,), "3.11.7",
        {"HOME": "/root", "PYTHONPATH": SITE, "LD_PRELOAD": "/lib64/libc.so.6"}, "test", "venv",
    )  # fmt: skip


PATIENCE = 10.0
"""A busy machine may starve a probe of its seconds; a file that never answers would hang for ever."""


def examined(root: Path, patience: float = PATIENCE) -> tuple[Facts, float]:
    begin = time.monotonic()
    facts = probe.examine(target(root), patience)
    return facts, time.monotonic() - begin


def judged(facts: Facts, seconds: float) -> None:
    assert seconds < 10 * PATIENCE
    for unknown in facts.unknown:
        assert unknown.because.strip(), unknown
        assert "the probe failed" not in unknown.because, unknown
        assert "no answer within" not in unknown.because, unknown


@pytest.mark.skipif(sys.platform != "linux", reason="lays out a Linux machine")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
@pytest.mark.parametrize("file", FILES)
def test_one_bad_file_spoils_only_itself(root: Path, file: str, fault: Callable[[Path], None]) -> None:
    if fault is unreadable and os.geteuid() == 0:
        pytest.skip("root reads everything")
    fault(root / file.lstrip("/"))
    judged(*examined(root))


@pytest.mark.skipif(sys.platform != "linux", reason="lays out a Linux machine")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_all_files_bad_at_once(root: Path, fault: Callable[[Path], None]) -> None:
    for file in FILES:
        fault(root / file.lstrip("/"))
    judged(*examined(root))


def _opened(root: Path, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The files that the probes read below ``root``, by watching the one function through which they do."""
    seen: set[str] = set()
    real = rooted.read

    def watched(top: str, path: str, limit: int = 1 << 20) -> bytes | None:
        data = real(top, path, limit)
        if data is not None:
            seen.add(path)
        return data

    monkeypatch.setattr(rooted, "read", watched)
    probe.examine(target(root))
    return seen


def test_the_files_above_are_all_that_is_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _opened(root, monkeypatch) <= FILES.keys()


def test_a_probe_that_hangs_costs_its_limit_and_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def asleep(_: Target) -> Facts:
        time.sleep(5)
        return Facts()

    def probes(_: int = 0) -> list[tuple[str, probe.Probe, float]]:
        return [("asleep", asleep, 0.3), ("awake", lambda _: Facts(), 0.3)]

    monkeypatch.setattr(probe, "_probes", probes)
    facts, seconds = examined(root, 1.0)
    assert seconds < 4  # it would sleep for 5
    (unknown,) = facts.unknown
    assert (unknown.what, unknown.because) == ("asleep", "no answer within 0.3 s")
