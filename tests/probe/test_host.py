from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from sgldoctor.probe.host import container, glibc, host, memory_limit
from tests.probe.machine import lay, target

LIBC = b"\x7fELF...\0GNU C Library (Ubuntu GLIBC 2.39-0ubuntu8.6) stable release version 2.39.\nCopyright\0"


def test_this_machine() -> None:
    row = host(target("/", os.environ)).one("host")
    assert row["system"] == "linux"
    assert row["machine"] == platform.machine()
    assert row["kernel"] == platform.release()
    assert row["root"] is (os.geteuid() == 0)
    assert row["cpus"] >= 1
    assert row["memory_mib"] > 100
    assert row["nofile"] == -1 or row["nofile"] > 0
    if platform.libc_ver()[0] == "glibc":
        assert row["glibc"] == platform.libc_ver()[1]


def test_an_unpacked_image(tmp_path: Path) -> None:
    root = lay(
        tmp_path,
        {
            "/usr/lib/x86_64-linux-gnu/libc.so.6": LIBC,
            "/lib": "->usr/lib",
            "/lib64": "->/usr/lib64",
            "/usr/lib64/ld-linux-x86-64.so.2": "->/usr/lib/x86_64-linux-gnu/libc.so.6",
            "/etc/os-release": "->../usr/lib/os-release",
            "/usr/lib/os-release": 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 24.04.2 LTS"\n',
            "/usr/bin/gcc-13": "#!/bin/sh\n",
            "/usr/bin/gcc": "->gcc-13",
        },
    )
    (tmp_path / "usr/bin/gcc-13").chmod(0o755)
    row = host(target(root)).one("host")
    assert row["glibc"] == "2.39"
    assert row["machine"] == "x86_64"
    assert row["distribution"] == "Ubuntu 24.04.2 LTS"
    assert row["gcc"] == "/usr/bin/gcc"
    # A folder has no processes, no limits and no memory: not known, and not this machine's.
    assert [row[name] for name in ("kernel", "cpus", "memory_mib", "shm_mib", "nofile")] == [None] * 5


def test_a_link_does_not_lead_out_of_the_image(tmp_path: Path) -> None:
    lay(tmp_path / "outside", {"os-release": "PRETTY_NAME=outside\n"})
    root = lay(tmp_path / "root", {"/etc/os-release": f"->{tmp_path}/outside/os-release", "/usr/lib/x": ""})
    assert host(target(root)).value("host", "distribution") == ""


def test_musl_is_said(tmp_path: Path) -> None:
    facts = host(target(lay(tmp_path, {"/lib/ld-musl-x86_64.so.1": "x"})))
    assert facts.value("host", "machine") == "x86_64"
    assert [entry.because for entry in facts.unknown] == ["musl, not glibc"]


@pytest.mark.parametrize(
    ("banner", "release"),
    [
        (b"GNU C Library (Debian GLIBC 2.36-9+deb12u9) stable release version 2.36.\n", "2.36"),
        (b"GNU C Library (GNU libc) stable release version 2.28.\n", "2.28"),
        (b"GNU C Library (GNU libc) development release version 2.43.9000.\n", "2.43"),
        (b"nothing of the kind", None),
    ],
)
def test_glibc_from_its_banner(tmp_path: Path, banner: bytes, release: str | None) -> None:
    assert glibc(target(lay(tmp_path, {"/lib64/libc.so.6": banner}))) == release


@pytest.mark.parametrize(
    ("files", "environ", "runtime"),
    [
        ({"/.dockerenv": ""}, {}, "docker"),
        ({"/run/.containerenv": ""}, {}, "podman"),
        ({"/.dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({"/proc/1/cgroup": "0::/kubepods/besteffort/pod1\n"}, {}, "kubernetes"),
        ({"/proc/1/cgroup": "12:cpu:/docker/0123\n"}, {}, "docker"),
        ({"/proc/1/environ": "TERM=x\0container=lxc\0"}, {}, "lxc"),
        ({"/proc/1/cgroup": "0::/init.scope\n", "/proc/1/environ": "mycontainer=no\0"}, {}, ""),
    ],
)
def test_container(tmp_path: Path, files: dict[str, str], environ: dict[str, str], runtime: str) -> None:
    assert container(target(lay(tmp_path, files), environ)) == runtime


@pytest.mark.parametrize(
    ("files", "mib"),
    [
        ({"/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/memory.max": "max\n"}, None),
        (
            {
                "/proc/self/cgroup": "0::/a/b\n",
                "/sys/fs/cgroup/a/b/memory.max": "max\n",
                "/sys/fs/cgroup/a/memory.max": f"{64 << 30}\n",
                "/sys/fs/cgroup/memory.max": f"{128 << 30}\n",
            },
            64 << 10,
        ),
        (
            {
                "/proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/docker/0\n",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes": f"{8 << 30}\n",
            },
            8 << 10,
        ),
        (
            {"/proc/self/cgroup": "4:memory:/\n", "/sys/fs/cgroup/memory/memory.limit_in_bytes": f"{2**63 - 4096}\n"},
            None,
        ),
        ({"/proc/self/cgroup": "0::/../..\n", "/sys/fs/cgroup/memory.max": "garbage"}, None),
        ({}, None),
    ],
)
def test_memory_limit(tmp_path: Path, files: dict[str, str], mib: int | None) -> None:
    assert memory_limit(target(lay(tmp_path, files))) == mib
