"""The same judgement on a list of packages that somebody pasted: no files, so knowledge has to know."""

from __future__ import annotations

import pytest

from sgldoctor import derive
from sgldoctor.derive.pins import pin
from sgldoctor.facts import Facts
from sgldoctor.knowledge import releases
from tests.lab_env import (
    pins,
    troubles,
)

SGLANG = "0.5.8"
PINS = pins(SGLANG)


def test_a_version_that_is_none_pins_nothing() -> None:
    facts = pasted({"sglang": "0.5.8; rm -rf /", "torch": "$(reboot)"})
    assert pin("sglang", facts) is None
    assert pin("torch", facts) is None


def pasted(versions: dict[str, str]) -> Facts:
    """Facts as a log with a ``pip list`` gives them: names and versions, no files."""
    facts = Facts()
    facts.put("packages", [{"name": name, "version": version, "line": 1} for name, version in versions.items()], "log")
    derive.derive(facts)
    return facts


def test_a_pasted_list_is_judged_by_knowledge() -> None:
    assert troubles(pasted(PINS)) == {}
    facts = pasted({**PINS, "torch": "2.10.0", "sgl-kernel": "0.3.19"})
    assert {row["name"]: row["pin"] for row in facts.rows("packages.unpinned")} == {
        "torch": f"torch=={PINS['torch']}",
        "sgl-kernel": f"sgl-kernel=={PINS['sgl-kernel']}",
    }
    assert facts.value("kernel", "torch_fits") is False
    assert pin("nvidia-nccl", facts) == f"nvidia-nccl-cu12=={PINS['nvidia-nccl-cu12']}"


def test_a_short_pasted_list_says_nothing_of_what_it_leaves_out() -> None:
    facts = pasted({"sglang": SGLANG, "torch": PINS["torch"], "transformers": PINS["transformers"]})
    assert not facts.known("packages.missing")
    assert not facts.known("kernel")


def test_a_whole_pasted_list_says_what_is_missing() -> None:
    facts = pasted({name: version for name, version in PINS.items() if name != "sgl-kernel"})
    assert facts.value("kernel", "status") == "absent"
    assert [row["name"] for row in facts.rows("packages.missing")] == ["sgl-kernel"]


@pytest.mark.parametrize("label", ["cu129", "cu130", "cpu"])
def test_another_build_of_torch_has_other_wheels_than_knowledge_says(label: str) -> None:
    versions = {name: version for name, version in PINS.items() if not name.endswith("-cu12")}
    facts = pasted({**versions, "torch": f"{PINS['torch']}+{label}", "nvidia-cublas": "13.1.0.3"})
    assert troubles(facts) == {}
    assert pin("nvidia-cudnn", facts) is None
    assert pin("triton", facts) == f"triton=={PINS['triton']}"


def test_the_default_build_is_known_by_its_label() -> None:
    assert pin("nvidia-cudnn", pasted({**PINS, "torch": f"{PINS['torch']}+cu128"})) is not None


def test_an_old_release_needs_the_extra_that_made_it_a_server() -> None:
    facts = pasted({"sglang": "0.5.2", "torch": "2.9.1"})
    (row,) = facts.rows("packages.unpinned")
    assert (row["name"], row["wanted"]) == ("torch", "==2.8.0")
    assert pin("kernel", facts) == "sgl-kernel==" + (releases.kernel_pin("0.5.2") or ("", ""))[1]
