"""Every probe of the machine writes only facts and columns that the vocabulary names."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sgldoctor.derive import driver, environment, rdma
from sgldoctor.facts import Facts
from sgldoctor.probe.disks import disks
from sgldoctor.probe.environment import environment as variables
from sgldoctor.probe.gpu import gpus
from sgldoctor.probe.host import host
from sgldoctor.probe.hub import hub
from sgldoctor.probe.network import interfaces, ports
from sgldoctor.probe.rdma import rdma as modules
from sgldoctor.probe.target import Target
from sgldoctor.probe.toolkit import toolkit
from sgldoctor.vocabulary import FACTS
from tests.probe.machine import needs_gcc, target
from tests.probe.test_gpu import fake

ODD = {
    **os.environ,
    "LD_LIBRARY_PATH": "/nonexistent:",
    "SGL_DISABLE_TP_MEMORY_INBALANCE_CHECK": "1",
    "SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK": "2048",
    "CUDA_VISIBLE_DEVICES": "-1",
    "CUDA_HOME": ":/usr/local/cuda",
    "GLOO_SOCKET_IFNAME": "nonexistent0",
    "http_proxy": "http://proxy:1",
}
PROBES: list[Callable[[Target], Facts]] = [
    variables, disks, gpus, host, hub, interfaces, lambda made: ports(made, [(1, "http")]), modules, toolkit,
]  # fmt: skip


def check(facts: Facts) -> None:
    for name in facts.names():
        assert name in FACTS, name
        for row in facts.rows(name):
            assert set(row) <= {*FACTS[name], "line", "text"}, name


@pytest.mark.parametrize("root", ["/", "folder"])
def test_probes_and_derivations(root: str, tmp_path: Path) -> None:
    facts = Facts()
    for probe in PROBES:
        facts.merge(probe(target(tmp_path if root == "folder" else root, ODD)))
    check(facts)
    for stage in (driver, rdma, environment):
        facts.merge(stage.derive(facts))
    check(facts)
    for name in ("environment.renamed", "environment.range", "environment.invalid", "environment.proxy"):
        assert facts.rows(name), name


@needs_gcc
def test_a_driver(tmp_path: Path) -> None:
    facts = fake(tmp_path)
    facts.put("torch", {"cuda": "13.0"}, "probe")
    facts.merge(driver.derive(facts))
    check(facts)
    assert facts.rows("gpu.busy")
    assert facts.value("driver.minimum", "ok") is True
