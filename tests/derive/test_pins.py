"""What is installed against what is asked for: sources without metadata, who moved a wheel, what is tolerated."""

from __future__ import annotations

from typing import Any

from sgldoctor.derive import needs, pins
from sgldoctor.facts import Facts

Package = tuple[str, str] | tuple[str, str, list[str]]


def facts(*packages: Package, sglang: str = "", source: str = "probe") -> Facts:
    made = Facts()
    rows: list[dict[str, Any]] = []
    for name, version, *requires in packages:
        rows.append({"name": name, "version": version, **({"requires": requires[0]} if requires else {})})
    made.put("packages", rows, source)
    if sglang:
        made.put("sglang", {"version": sglang}, "launch")
    return made


def test_where_nothing_is_known_nothing_is_said() -> None:
    assert list(pins.derive(Facts()).names()) == []


def test_a_release_that_was_named_is_not_replaced_by_the_one_installed() -> None:
    found = pins.derive(facts(("sglang", "0.5.9"), sglang="0.5.8"))
    assert not found.known("sglang")
    assert pins.derive(facts(("sglang", "0.5.9"))).value("sglang", "version") == "0.5.9"


def test_bare_sources_tell_their_release() -> None:
    def sglang(version: str) -> dict[str, Any]:
        made = facts(("numpy", "2.4.6"))
        made.put("sglang.source", {"version": version, "path": "/src/python/sglang"}, "probe")
        return dict(pins.derive(made).one("sglang"))

    row = sglang("0.5.8")
    assert (row["version"], row["location"], row["editable"]) == ("0.5.8", "/src/python/sglang", True)
    assert row["known"] is True
    assert "version file" in row["inferred"]
    row = sglang("")
    assert row["known"] is False
    assert row["inferred"] == "no metadata and no version file"


def test_what_is_derived_says_so() -> None:
    found = pins.derive(facts(("sglang", "0.5.8"), ("flashinfer-python", "0.6.1"), ("flashinfer-cubin", "0.6.0")))
    assert found.one("flashinfer")["status"] == "differs"
    assert {found.source(name) for name in found.names()} == {"derived"}


def unpinned(made: Facts, name: str) -> dict[str, Any]:
    (row,) = [row for row in pins.derive(made).rows("packages.unpinned") if row["name"] == name]
    return dict(row)


def test_only_who_asks_for_that_very_package_may_have_moved_it() -> None:
    sglang = ("sglang", "0.5.8", ["xgrammar==0.1.27"])
    moved: Package = ("xgrammar", "0.1.29", [])
    other = ("other", "1.0", ["outlines>=0.1.28"])
    assert unpinned(facts(sglang, moved, other), "xgrammar")["mover"] == ""
    assert unpinned(facts(sglang, moved, other, ("mover", "1.0", ["xgrammar>=0.1.28"])), "xgrammar")["mover"] == "mover"
    assert unpinned(facts(sglang, moved, ("mild", "1.0", ["xgrammar>=0.1"])), "xgrammar")["mover"] == ""


def test_a_newer_cudnn_of_the_same_major_is_tolerated_and_other_packages_are_not() -> None:
    torch = ("torch", "2.9.1", ["nvidia-cudnn-cu12==9.10.2.21", "sympy==1.13"])
    row = unpinned(facts(torch, ("nvidia-cudnn-cu12", "9.19.0.1", []), ("sympy", "1.14", [])), "nvidia-cudnn-cu12")
    assert row["tolerated"] is True
    assert row["reason"].startswith("SGLang's own images install nvidia-cudnn-cu12")
    for other in ("10.0.0.1", "9.1.0.70"):
        row = unpinned(facts(torch, ("nvidia-cudnn-cu12", other, [])), "nvidia-cudnn-cu12")
        assert (row["tolerated"], row["reason"]) == (False, "")
    row = unpinned(facts(torch, ("sympy", "1.14", [])), "sympy")
    assert (row["tolerated"], row["reason"]) == (False, "")


def test_sglang_itself_is_pinned_to_what_is_there() -> None:
    assert needs.pin("sglang", facts(("sglang", "0.5.8+local"))) == "sglang==0.5.8"
    assert needs.pin("sglang", facts(("numpy", "2.4.6"))) is None


def test_the_label_of_the_kernel_tells_the_lane_of_the_torch_that_is_to_come() -> None:
    def cudnn(kernel: str) -> str | None:
        packages = (("sglang", "0.5.8"), ("torch", "2.8.0+cu130"), ("sgl-kernel", kernel))
        return needs.pin("nvidia-cudnn-cu12", facts(*packages, source="log"))

    # Only torch is of CUDA 13: that is the fault, and the wheels of the right torch are those of the default index.
    assert cudnn("0.3.21") == "nvidia-cudnn-cu12==9.10.2.21"
    assert cudnn("0.3.21+cu130") is None


def test_who_asks_for_the_wheel_of_the_other_major() -> None:
    torch = ("torch", "2.9.1", ["nvidia-cudnn-cu12==9.10.2.21"])
    both: tuple[Package, ...] = (("nvidia-cudnn-cu12", "9.10.2.21", []), ("nvidia-cudnn-cu13", "9.13.0.50", []))

    def asked(*packages: Package) -> str:
        return str(pins.derive(facts(*packages)).one("packages.mixed_cuda")["asked_by"])

    assert asked(torch, *both) == ""
    assert asked(torch, *both, ("cupy", "1.0", ["nvidia-cudnn-cu13>=9"])) == "cupy"
    plain = [(package[0], package[1]) for package in (torch, *both)]
    assert asked(*plain) == "somebody"
