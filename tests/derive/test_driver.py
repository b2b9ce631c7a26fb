from __future__ import annotations

from typing import Any

import pytest

from sgldoctor.derive.driver import derive
from sgldoctor.facts import Facts
from sgldoctor.knowledge.drivers import minimum, newest_major, shipped


def facts(driver: str = "", cuda: str = "", init: dict[str, Any] | None = None) -> Facts:
    made = Facts()
    made.put("driver", {"version": driver}, "probe")
    made.put("torch", {"cuda": cuda}, "probe")
    if init:
        made.put("cuda.init", init, "probe")
    return made


@pytest.mark.parametrize(
    ("driver", "cuda", "ok"),
    [
        ("580.159.04", "13.0", True),
        ("580.65.06", "13.0", True),
        ("580.65.05", "13.0", False),
        ("575.57.08", "13.0", False),
        ("570.86.15", "12.8", True),
        ("535.183.01", "12.8", True),  # minor-version compatibility
        ("525.60.13", "12.9", True),
        ("525.60.11", "12.9", False),
        ("470.82.01", "12.4", False),
        ("595.45.04", "12.6", True),
        ("610.43.02", "13.9", True),  # a CUDA 13 that our table does not name
    ],
)
def test_minimum(driver: str, cuda: str, ok: bool) -> None:
    (row,) = derive(facts(driver, cuda)).rows("driver.minimum")
    assert row["ok"] is ok
    assert (row["installed"], row["cuda"]) == (driver, cuda)


def test_too_old_says_what_the_driver_can_do() -> None:
    row = derive(facts("570.86.15", "13.0")).one("driver.minimum")
    assert (row["needed"], row["supports"]) == (minimum("13.0"), "12")
    assert "CUDA 12.x at most" in row["note"]


def test_minor_version_compatibility_is_said() -> None:
    row = derive(facts("535.183.01", "12.8")).one("driver.minimum")
    assert row["full"] == shipped("12.8")
    assert "minor-version compatibility" in row["note"]


def test_a_compat_package_makes_an_old_driver_do() -> None:
    row = derive(facts("550.54.15", "13.0", {"code": 0, "cuda": "13.0"})).one("driver.minimum")
    assert row["ok"] is True
    assert "cuda-compat" in row["note"]
    assert derive(facts("550.54.15", "13.0", {"code": 0, "cuda": "12.4"})).one("driver.minimum")["ok"] is False
    assert derive(facts("550.54.15", "13.0", {"code": 804, "cuda": "13.0"})).one("driver.minimum")["ok"] is False


@pytest.mark.parametrize(("driver", "cuda"), [("", "13.0"), ("580.65.06", ""), ("n/a", "13.0"), ("580.65.06", "99.0")])
def test_nothing_is_said_of_what_is_not_known(driver: str, cuda: str) -> None:
    assert not derive(facts(driver, cuda)).known("driver.minimum")


def test_newest_major() -> None:
    assert [newest_major(driver) for driver in ("580.65.06", "570.0", "460.1", "440.1", "")] == [
        "13",
        "12",
        "11",
        "",
        "",
    ]


def gpu(index: int, percent: float | None, **more: Any) -> dict[str, Any]:
    row = {"index": index, "name": "NVIDIA H100", "memory_used_percent": percent, "capability": "9.0"}
    return {**row, "memory_free_mib": 1000, "memory_total_mib": 81559, **more}


def test_busy_gpus_name_their_holders() -> None:
    made = Facts()
    made.put("gpus", [gpu(0, 0.6), gpu(1, 62.0), gpu(2, 30.0), gpu(3, None)], "probe")
    made.put("gpu.processes", [{"index": 1, "pid": 7, "name": "python3"}, {"index": 1, "pid": 8, "name": ""}], "probe")
    rows = derive(made).rows("gpu.busy")
    assert [row["index"] for row in rows] == [1, 2]
    assert rows[0]["holders"] == "python3 (pid 7), a process of another container (pid 8)"
    assert "not visible" in rows[1]["holders"]


def test_unsupported_and_mixed() -> None:
    made = Facts()
    odd = [
        gpu(1, 0, name="Tesla V100", capability="7.0"),
        gpu(2, 0, name="T4", capability="7.5"),
        gpu(3, 0, capability=""),
    ]
    made.put("gpus", [gpu(0, 0), *odd], "probe")
    found = derive(made)
    assert [(row["index"], row["capability"], row["minimum"]) for row in found.rows("gpus.unsupported")] == [
        (1, "7.0", "7.5")
    ]
    assert found.one("gpus.mixed")["models"] == ["NVIDIA H100", "T4", "Tesla V100"]


def test_equal_gpus_are_not_mixed() -> None:
    made = Facts()
    made.put("gpus", [gpu(0, 0), gpu(1, 0)], "probe")
    assert derive(made).rows("gpus.mixed") == ()


def test_a_driver_that_runs_no_cuda_that_is_known_is_told_without_one() -> None:
    row = derive(facts("304.137", "12.8")).one("driver.minimum")
    assert row["supports"] == ""
    assert row["note"].endswith("installed is 304.137")


def test_a_gpu_that_is_too_old_is_named() -> None:
    made = Facts()
    made.put(
        "gpus", [{"index": 0, "name": "Tesla K80", "capability": "3.7"}, {"index": 1, "capability": "3.7"}], "probe"
    )
    found = derive(made).rows("gpus.unsupported")
    assert [(row["index"], row["name"], row["capability"]) for row in found] == [
        (0, "Tesla K80", "3.7"),
        (1, "", "3.7"),
    ]


def test_a_busy_gpu_says_how_much_is_left_and_who_holds_it() -> None:
    made = Facts()
    gpu = {"index": 1, "memory_used_percent": 50.0, "memory_free_mib": 40000, "memory_total_mib": 80000}
    made.put("gpus", [{"index": 0, "memory_used_percent": 1.0}, gpu], "probe")
    made.put("gpu.processes", [{"index": 0, "name": "x", "pid": 1}, {"index": 1, "name": "python", "pid": 7}], "probe")
    assert derive(made).rows("gpu.busy") == (
        {"index": 1, "free_mib": 40000, "total_mib": 80000, "percent": 50.0, "holders": "python (pid 7)"},
    )
