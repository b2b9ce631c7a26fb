"""On a machine with a GPU: what we say must agree with what nvidia-smi says."""

from __future__ import annotations

import os
import shutil
import subprocess
import time

import pytest

from sgldoctor.derive import driver, rdma
from sgldoctor.probe.gpu import gpus
from sgldoctor.probe.host import host
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
