"""Which compiled kernels a GPU runs."""

from __future__ import annotations

import pytest

from sgldoctor.derive.jit import derive, runs
from sgldoctor.facts import Facts


@pytest.mark.parametrize(
    ("machines", "virtual", "capability", "expected"),
    [
        (["90a"], [], "9.0", True),
        (["90a"], [], "10.0", False),
        (["100a"], [], "10.3", False),  # for its very own GPU alone
        (["100f"], [], "10.3", True),  # for its family
        (["80"], [], "8.6", True),
        (["86"], [], "8.0", False),
        (["80"], [], "9.0", False),
        (["80"], ["80"], "9.0", True),  # translated by the driver
        ([], ["90"], "8.0", False),
        ([], ["90a"], "10.0", False),
        (["75", "90a"], [], "9.0", True),
        (["120a"], [], "12.0", True),
    ],
)
def test_which_builds_a_gpu_takes(machines: list[str], virtual: list[str], capability: str, expected: bool) -> None:
    assert runs(machines, virtual, capability) is expected


def test_one_gpu_that_cannot_run_it_is_enough() -> None:
    facts = Facts()
    facts.put("jit.built", [{"file": "/c/a/a.so", "cache": "/c/a", "machines": ["90a"], "virtual": []}], "probe")
    assert not derive(facts).known("jit.other_gpu")  # no GPU is known
    facts.put("gpus", [{"index": 0, "capability": "9.0"}, {"index": 1, "capability": "8.9"}], "probe")
    (row,) = derive(facts).rows("jit.other_gpu")
    assert (row["built"], row["here"]) == ("sm_90a", "8.9")
