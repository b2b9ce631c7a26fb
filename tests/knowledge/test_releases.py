"""What is known of the releases, and that the look-ups agree with the data they come from."""

from __future__ import annotations

import itertools

import pytest

from sgldoctor.knowledge import libraries, releases
from sgldoctor.versions import compare, valid


def test_releases_are_in_order() -> None:
    known = releases.versions()
    assert len(known) >= 44
    assert all(compare(first, second) < 0 for first, second in itertools.pairwise(known))
    assert releases.newest() == known[-1]
    assert releases.known(known[0])
    assert releases.known(known[-1] + "+local")
    assert not releases.known("0.0.1")
    assert not releases.known("")


@pytest.mark.parametrize(
    ("version", "since", "until", "expected"),
    [
        ("0.5.8.post1", "0.5.8", "0.5.9", True),
        ("0.5.10", "0.5.9", "", True),
        ("0.5.10rc1", "0.5.10", "", False),
        ("0.5.9", "", "0.5.8.post1", False),
        ("0.5.9+cu129", "0.5.9", "0.5.9", True),
        ("main", "0.5.9", "", False),
    ],
)
def test_ranges(version: str, since: str, until: str, expected: bool) -> None:
    assert releases.within(version, since, until) is expected


def test_comparing_what_is_no_version() -> None:
    with pytest.raises(ValueError, match=r"Invalid version: .main"):
        compare("main", "0.5.8")


@pytest.mark.parametrize("version", releases.versions())
def test_every_release_says_what_a_server_needs(version: str) -> None:
    from packaging.requirements import Requirement

    found = releases.release(version)
    assert found is not None
    lines = [*found.pins, *found.extras.get("srt", ())]
    names = {Requirement(line).name.lower().replace("_", "-") for line in lines}
    kernel = releases.kernel_pin(version)
    assert kernel is not None
    assert {"torch", "flashinfer-python", kernel[0]} <= names
    assert releases.minimum(version, kernel[0])
    assert compare(releases.minimum(version, kernel[0]), kernel[1]) <= 0
    torch = releases.kernel_torch(*kernel)
    assert any(line.startswith(f"torch=={torch}") for line in lines), "the kernel that is pinned fits the torch that is"
    assert releases.companion("torch", torch) is not None


def test_what_is_not_known_is_empty() -> None:
    assert releases.release("99.0") is None
    assert releases.kernel_pin("99.0") is None
    assert releases.minimum("99.0", "sgl-kernel") == ""
    assert releases.kernel_torch("sgl-kernel", "99.0") == ""
    assert releases.companion("torch", "99.0") is None
    assert releases.image_pins("click") == releases.image_pins("nixl") == ()


def test_versions_of_the_images_are_versions() -> None:
    for name in ("nvidia-cudnn-cu12", "nvidia-nccl-cu12", "cuda-python"):
        pairs = releases.image_pins(name)
        assert pairs
        assert all(valid(version) for _, version in pairs)


def test_names_are_compared_as_pip_does() -> None:
    version = releases.newest()
    assert releases.minimum(version, "Flashinfer_Python") == releases.minimum(version, "flashinfer-python") != ""


@pytest.mark.parametrize(
    ("library", "family"),
    [
        ("libcudnn.so.9", "nvidia-cudnn"),
        ("libcudnn_engines_precompiled.so.9", "nvidia-cudnn"),
        ("libcusparseLt.so.0", "nvidia-cusparselt"),
        ("libcusparse.so.12", "nvidia-cusparse"),
        ("libnvrtc-builtins.so.12.8", "nvidia-cuda-nvrtc"),
        ("libtorch_cuda.so", "torch"),
        ("libnuma.so.1", ""),
        ("libibverbs.so.1", ""),
    ],
)
def test_families_of_libraries(library: str, family: str) -> None:
    assert libraries.family(library) == family


def test_the_driver_and_the_system() -> None:
    assert libraries.of_driver("libcuda.so.1")
    assert libraries.of_driver("libnvidia-ml.so.1")
    assert not libraries.of_driver("libcudart.so.12")
    assert libraries.system_package("libnuma.so.1")["debian"] == "libnuma1"
    assert libraries.system_package("libunheard.so.1") == {}
