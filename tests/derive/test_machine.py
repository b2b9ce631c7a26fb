"""Troubles of GPUs and shortages of a host, from facts as the probes write them."""

from __future__ import annotations

from typing import Any

import pytest

from sgldoctor.derive.machine import NOFILE, derive
from sgldoctor.facts import Facts

GPU = {"index": 0, "memory_total_mib": 81559, "fabric": "completed", "ecc_uncorrected": 0, "mig": False}


def facts(**rows: Any) -> Facts:
    found = Facts()
    for name, row in rows.items():
        found.put(name.replace("__", "."), row, "probe")
    return found


def test_a_sound_machine_has_none() -> None:
    host = {"nofile_hard": 1 << 20, "memlock_hard": -1, "memory_limit_mib": None}
    disk = {"for": "models", "path": "/models", "free_mib": 1 << 20}
    found = derive(facts(gpus=GPU, host=host, disks=disk, host__events=[]))
    assert found.rows("gpu.troubles") == ()
    assert found.rows("host.shortages") == ()


@pytest.mark.parametrize(
    ("column", "value", "kind"),
    [("fabric", "not started", "fabric"), ("fabric", "in progress", "fabric"),
     ("ecc_uncorrected", 2, "ecc"), ("mig", True, "mig")],
)  # fmt: skip
def test_state_of_a_gpu(column: str, value: object, kind: str) -> None:
    (row,) = derive(facts(gpus={**GPU, column: value})).rows("gpu.troubles")
    assert (row["device"], row["kind"]) == ("GPU 0", kind)


def test_complaints_of_the_driver_count_once_and_not_those_that_programs_cause() -> None:
    event = {
        "kind": "xid",
        "code": 74,
        "device": "0000:3b:00",
        "by_program": False,
        "meaning": "NVLink error",
        "age_s": 5,
    }
    events = [event, event, {**event, "code": 31, "by_program": True}, {**event, "code": 79, "age_s": 10**7}]
    (row,) = derive(facts(host__events=events)).rows("gpu.troubles")
    assert (row["kind"], row["device"]) == ("nvlink", "0000:3b:00")


def test_limits() -> None:
    host = {"nofile_hard": NOFILE - 1, "memlock_hard": 65536, "memory_limit_mib": 8192}
    assert [row["kind"] for row in derive(facts(host=host)).rows("host.shortages")] == ["nofile"]
    devices = {"name": "mlx5_0"}
    found = derive(facts(host=host, rdma__devices=devices, gpus=GPU)).rows("host.shortages")
    assert [row["kind"] for row in found] == ["nofile", "memlock", "memory"]
    assert found[1]["text"] == "64 KiB of memory may be locked; RDMA registration needs it unlimited"
    nothing = derive(facts(host={"memlock_hard": 0}, rdma__devices=devices)).rows("host.shortages")
    assert [row["kind"] for row in nothing] == ["memlock"]


def test_links_are_compared_among_equals() -> None:
    gpu = {**GPU, "name": "H100", "nvlinks": 18, "nvswitch": True}
    fewer = {**gpu, "index": 1, "nvlinks": 17}
    (row,) = derive(facts(gpus=[gpu, fewer])).rows("gpu.troubles")
    assert row["text"] == "GPU 1: 17 NVLinks are up, its equals have 18"
    assert derive(facts(gpus=[gpu, {**fewer, "name": "H20"}])).rows("gpu.troubles") == ()


def test_room_for_models_is_not_asked_for_where_one_is_there() -> None:
    disk = {"for": "models", "path": "/models", "free_mib": 100}
    assert derive(facts(disks=disk)).rows("host.shortages")
    assert derive(facts(disks=disk, hub__models={"model": "a/b", "complete": True})).rows("host.shortages") == ()


def test_a_cache_of_models_that_cannot_be_written_matters_only_where_it_lacks_them() -> None:
    facts = Facts()
    facts.put("disks", [{"path": "/hub", "for": "models", "free_mib": 1, "writable": False}], "probe")
    assert [row["kind"] for row in derive(facts).rows("host.shortages")] == ["models read-only"]
    facts.put("hub.models", [{"model": "a/b", "complete": True}], "probe")
    assert derive(facts).rows("host.shortages") == ()
