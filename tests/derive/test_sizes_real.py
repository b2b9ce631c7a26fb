"""Our arithmetic against SGLang's own constructors: 40 model configurations, 64 sizes, 11 more with expert parallelism.

``sizes/real/RELEASE.json`` is what SGLang of that release said, by ``sizes/oracle.py``; with an environment of the
release at hand (mark ``lab``) it is asked again.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sgldoctor.derive.parallel import limits
from sgldoctor.derive.sizes import Sharing, layout
from sgldoctor.probe.model import dimensions
from tests.derive.sizes.oracle import tried

LAB = os.environ.get("SGLDOCTOR_LAB", "")
SIZES = Path(__file__).parent / "sizes"
CONFIGS: dict[str, dict[str, Any]] = json.loads((SIZES / "configs.json").read_text(encoding="utf-8"))
REAL: dict[str, dict[str, str]] = {
    path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted((SIZES / "real").glob("*.json"))
}


def environment(release: str) -> Path | None:
    """An interpreter of the lab that has this release of SGLang."""
    found = [*Path(LAB).glob(f"*/lib/python*/site-packages/sglang-{release}.dist-info")] if LAB else []
    return found[0].parents[3] / "bin/python" if found else None


@pytest.mark.parametrize("release", REAL)
@pytest.mark.parametrize("name", CONFIGS)
def test_the_verdict_equals_that_of_sglang(name: str, release: str) -> None:
    if name not in REAL[release]:
        pytest.skip("its kernels cannot be asked about without a GPU")
    row, odd = dimensions(CONFIGS[name])
    assert not odd
    works = REAL[release][name].split()
    for tp, ep in tried(CONFIGS[name]):
        shared = layout(release, Sharing(ep=ep))
        assert shared is not None
        ours = limits(row, shared._replace(tp=tp))
        assert bool(ours) == (f"{tp}/{ep}" not in works), (tp, ep, ours)


def test_the_records_cover_the_configurations() -> None:
    assert len(REAL) == 3
    for found in REAL.values():
        assert set(found) <= set(CONFIGS)
        asked = sum(len(tried(CONFIGS[name])) for name in found)
        works = sum(len(sizes.split()) for sizes in found.values())
        assert len(found) >= 37
        assert asked > 2500
        assert 200 < works < 800


@pytest.mark.lab
@pytest.mark.parametrize("release", REAL)
def test_sglang_still_says_so(release: str, tmp_path: Path) -> None:
    python = environment(release)
    if python is None:
        pytest.skip(f"SGLDOCTOR_LAB names no environment with SGLang {release}")
    some = tmp_path / "configs.json"
    asked = ("llama3-8b-fp8", "deepseek-r1")
    some.write_text(json.dumps({name: CONFIGS[name] for name in asked}), encoding="utf-8")
    done = tmp_path / "real.json"
    subprocess.run([python, SIZES / "oracle.py", some, done], check=True, capture_output=True, timeout=1800)
    assert json.loads(done.read_text(encoding="utf-8")) == {name: REAL[release][name] for name in asked}
