from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from sgldoctor.derive import needs
from sgldoctor.derive.variants import Variant, pinned, variants
from sgldoctor.facts import Facts
from sgldoctor.knowledge import releases

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("kernel", "torch", "torchvision", "triton", "flashinfer-cubin", "transformers", "numpy", "nvidia-cudnn",
         "nvidia-nccl-cu12", "nvidia-cublas", "nvidia-nvjitlink", "sgl-deep-ep")  # fmt: skip


@pytest.mark.parametrize("version", releases.versions()[:: len(releases.versions()) // 6])
def test_a_pin_is_the_one_that_the_whole_table_of_needs_gives(version: str) -> None:
    facts = Facts()
    facts.put("sglang", {"version": version}, "derived")
    assert {name: pinned(name, version, Facts()) for name in NAMES} == {name: needs.pin(name, facts) for name in NAMES}


def test_the_file_is_what_its_script_makes() -> None:
    spec = importlib.util.spec_from_file_location("make_variants", ROOT / "scripts" / "variants.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert releases.load("pin-variants.json") == module.build(), "run scripts/variants.py"


def test_ranges_join_releases_that_agree_and_end_where_one_does_not_pin() -> None:
    found = variants(("kernel",), Facts())
    assert found[0].first == releases.versions()[0]
    assert found[-1].last == releases.newest()
    for variant in found:
        assert releases.release(variant.first) is not None
        assert (releases.release(variant.last).kernel,) == variant.requirements  # type: ignore[union-attr]
    assert len({variant.requirements for variant in found}) == len(found)
    assert variants(("no-such-thing",), Facts()) == []
    assert Variant("1.0", "1.0", ("a==1",)).range == "SGLang 1.0"
    assert Variant("1.0", "1.2", ("a==1",)).range == "SGLang 1.0 to 1.2"


def test_torch_and_the_texts_of_a_log_narrow_the_releases() -> None:
    everything = variants(("nvidia-nccl",), Facts())
    facts = Facts()
    facts.put("torch", {"version": releases.torch_pin("0.5.8") + "+cu128"}, "log")
    (by_torch,) = variants(("nvidia-nccl",), facts)
    assert by_torch in everything
    assert releases.within("0.5.8", by_torch.first, by_torch.last)
    moved = Facts()
    moved.put("torch", {"version": "99.0"}, "log")
    assert variants(("nvidia-nccl",), moved) == everything
    told = Facts()
    told.put("log.releases", {"first": "0.5.8", "last": "0.5.9"}, "derived")
    assert [(variant.first, variant.last) for variant in variants(("nvidia-nccl",), told)] == [("0.5.8", "0.5.9")]


def test_several_names_are_told_together() -> None:
    """A torch and a kernel that belong to one release stand together; a release that lacks one of them is left out."""
    pairs = variants(("torch", "kernel"), Facts())
    assert [variant.requirements[1] for variant in pairs] == [
        one.requirements[0] for one in variants(("kernel",), Facts())
    ]
    for variant in pairs:
        assert variant.requirements[0] == f"torch=={releases.torch_pin(variant.last)}"
    some = variants(("torch", "sgl-deep-ep"), Facts())
    assert some
    assert some[0].first == variants(("sgl-deep-ep",), Facts())[0].first
