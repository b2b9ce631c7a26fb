"""On a machine with a GPU: what we say must agree with what nvidia-smi says."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sgldoctor.derive import driver, rdma
from sgldoctor.probe.gpu import gpus
from sgldoctor.probe.host import host
from sgldoctor.probe.network import ports
from sgldoctor.probe.rdma import rdma as devices
from tests.probe.machine import target

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="needs an NVIDIA driver"),
]


def smi(*fields: str) -> list[list[str]]:
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [[cell.strip() for cell in line.split(",")] for line in done.stdout.splitlines()]


def test_agrees_with_nvidia_smi() -> None:
    facts = gpus(target("/", os.environ))
    said = smi("index", "name", "uuid", "memory.total", "compute_cap", "driver_version", "persistence_mode")
    rows = facts.rows("gpus")
    assert len(rows) == len(said)
    for row, (index, name, uuid, total, capability, version, persistence) in zip(rows, said, strict=True):
        assert (str(row["index"]), row["name"], row["uuid"], row["capability"]) == (index, name, uuid, capability)
        assert abs(row["memory_total_mib"] - int(total)) <= 1
        assert facts.value("driver", "version") == version
        assert row["persistence"] is (persistence == "Enabled")
    assert facts.value("driver", "loaded") is True
    assert facts.value("driver", "module") in ("open", "proprietary")
    # The kernel log may be closed to us; everything about GPUs may not be.
    assert [entry for entry in facts.unknown if entry.what != "host.events"] == []


def test_the_counters_of_nvlinks_are_those_of_nvidia_smi() -> None:
    done = subprocess.run(["nvidia-smi", "nvlink", "-e"], capture_output=True, text=True, check=False, timeout=60)
    said: dict[str, dict[str, int]] = {}
    gpu = ""
    for line in done.stdout.splitlines():
        if match := re.match(r"GPU (\d+):", line):
            gpu = match[1]
        elif match := re.match(r"\s*Link \d+: (Replay|Recovery|CRC) Errors: (\d+)", line):
            sums = said.setdefault(gpu, {"Replay": 0, "Recovery": 0, "CRC": 0})
            sums[match[1]] += int(match[2])
    if not said:
        pytest.skip("these GPUs have no NVLinks, or the driver does not count their errors")
    for row in gpus(target("/", os.environ)).rows("gpus"):
        found = {"Replay": row["nvlink_replays"], "Recovery": row["nvlink_recoveries"], "CRC": row["nvlink_crc"]}
        assert found == said[str(row["index"])]


def test_cuda_answers() -> None:
    init = gpus(target("/", os.environ)).one("cuda.init")
    assert (init["code"], init["name"]) == (0, "CUDA_SUCCESS")
    assert init["devices"] == len(smi("index"))
    assert isinstance(init["dmabuf"], bool)


def test_no_visible_device_is_found_out() -> None:
    facts = gpus(target("/", {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}))
    assert facts.value("cuda.init", "code") == 100
    assert facts.rows("gpus")


def test_derived_facts_follow() -> None:
    facts = gpus(target("/", os.environ))
    facts.merge(host(target("/", os.environ)))
    facts.merge(devices(target("/", os.environ)))
    facts.put("torch", {"cuda": "12.8"}, "probe")
    assert driver.derive(facts).one("driver.minimum")["ok"] in (True, False)
    assert rdma.derive(facts).known("rdma.registration") is facts.known("modules")
    assert driver.derive(facts).rows("gpus.unsupported") == ()


def test_is_quick() -> None:
    begin = time.monotonic()
    gpus(target("/", os.environ))
    assert time.monotonic() - begin < 5


def test_agrees_without_any_program_on_path() -> None:
    said = smi("name", "uuid", "memory.total", "driver_version")
    facts = gpus(target("/", {**os.environ, "PATH": "/nonexistent"}))
    for row, (name, uuid, total, version) in zip(facts.rows("gpus"), said, strict=True):
        assert (row["name"], row["uuid"], facts.value("driver", "version")) == (name, uuid, version)
        assert abs(row["memory_total_mib"] - int(total)) <= 1


def test_hidden_by_an_empty_variable() -> None:
    facts = gpus(target("/", {**os.environ, "CUDA_VISIBLE_DEVICES": ""}))
    assert facts.value("cuda.init", "code") == 100
    assert len(facts.rows("gpus")) == len(smi("index"))


def test_a_libcuda_that_is_no_library_is_named(tmp_path: Path) -> None:
    (tmp_path / "libcuda.so.1").write_bytes(b"")
    facts = gpus(target("/", {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}))
    (unknown,) = [entry for entry in facts.unknown if entry.what == "cuda.init"]
    assert "libcuda.so.1" in unknown.because
    assert unknown.essential


FILL = """
import ctypes, sys
lib = ctypes.CDLL("libcuda.so.1")
device, context, free, total, place = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_void_p()
assert lib.cuInit(0) == 0 and lib.cuDeviceGet(ctypes.byref(device), 0) == 0
assert lib.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0 and lib.cuCtxSetCurrent(context) == 0
assert lib.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) == 0
assert lib.cuMemAlloc_v2(ctypes.byref(place), ctypes.c_size_t(int(total.value * 0.9))) == 0, "no 90 % are free"
print("held", flush=True); sys.stdin.read()
"""  # noqa: E501


def test_a_full_gpu_is_busy_and_its_holder_is_named() -> None:
    holder = subprocess.Popen([sys.executable, "-c", FILL], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None
        if holder.stdout.readline() != "held\n":
            pytest.skip("no 90 % of GPU 0 are free")
        facts = gpus(target("/", os.environ))
        facts.merge(driver.derive(facts))
    finally:
        holder.communicate("")
    (row,) = [row for row in facts.rows("gpu.busy") if row["index"] == 0]
    assert row["percent"] >= 90
    # In a container the driver may tell the PID of the host, or none.
    assert f"pid {holder.pid}" in row["holders"] or "not visible" in row["holders"] or "another" in row["holders"]


def test_a_bound_port_is_found_with_its_holder() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        port = bound.getsockname()[1]
        (row,) = ports(target("/", os.environ), [(port, "http")]).rows("ports")
    assert row["state"] == "taken"
    assert f"pid {os.getpid()}" in row["holder"]
