"""Whatever a log or a snapshot claims to be installed, the derivation answers, and its pins are plain requirements."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from sgldoctor.derive import libraries, pins
from sgldoctor.facts import Facts

KNOWN_NAMES = (
    *(
        "sglang",
        "torch",
        "sgl-kernel",
        "sglang-kernel",
        "flashinfer-python",
        "flashinfer-cubin",
        "flashinfer-jit-cache",
    ),
    *("nvidia-cudnn-cu12", "nvidia-cudnn-cu13", "nvidia-nccl-cu12", "cuda-toolkit", "torchvision", "transformers"),
)
KNOWN_VERSIONS = (
    *("0.5.8", "0.5.2", "0.5.23", "99.0", "2.9.1", "2.9.1+cu128", "2.14.1", "0.3.21", "0.6.1", "9.16.0.29", "1.0rc1"),
)
KNOWN_LINES = (
    *("torch==2.9.1", "torch (>=2.14.0)", "nvidia-cudnn-cu12==9.10.2.21; platform_system == 'Linux'", "a===b"),
    *("a @ https://b/c.whl", "numpy<3; python_version < 'x'", "torch; nonsense == 1", "cuda-toolkit[cublas]==13.0.3"),
    *("x; extra == 'y'", "torch; python_version ~= 'x'", "torch; platform_machine > os_name", "numpy/"),
)
NAMES = st.sampled_from(KNOWN_NAMES) | st.text(max_size=12)
VERSIONS = st.sampled_from(KNOWN_VERSIONS) | st.text(min_size=1, max_size=12)
LINES = st.sampled_from(KNOWN_LINES) | st.text(max_size=20)
ROWS = st.lists(
    st.fixed_dictionaries(
        {"name": NAMES, "version": VERSIONS},
        optional={"requires": st.lists(LINES, max_size=4), "location": st.just("/s")},
    ),
    max_size=8,
)
MISSING = st.lists(
    st.fixed_dictionaries(
        {
            "library": st.sampled_from(["libcudnn.so.9", "libcudart.so.13", "libcuda.so.1", "libtorch_cuda.so"])
            | st.text(max_size=12),
            "needed_by": st.text(max_size=5),
            "owner": NAMES,
            "essential": st.booleans(),
            "count": st.integers(1, 5),
            "recorded_by": st.just("") | NAMES,
            "text": st.text(max_size=5),
        },
        optional={"place": st.text(max_size=5), "siblings": st.lists(st.text(max_size=5), max_size=2)},
    ),
    max_size=4,
)
REQUIREMENT = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:(?:[=~!<>]=?=?[\w.!+*]+)(?:,(?:[=~!<>]=?=?[\w.!+*]+))*)?")


@given(ROWS, MISSING, st.sampled_from(["log", "probe"]), st.just("") | VERSIONS)
def test_no_claim_breaks_the_derivation(
    rows: list[dict[str, object]], missing: list[dict[str, object]], source: str, python: str
) -> None:
    facts = Facts()
    facts.put("packages", rows, source)
    facts.put("loader.missing", missing, source)
    facts.put("python", {"version": python}, source)
    result = pins.derive(facts)
    result.merge(libraries.derive(facts))
    for name in result.names():
        for row in result.rows(name):
            assert not row.get("pin") or REQUIREMENT.fullmatch(row["pin"]), (name, row["pin"])
