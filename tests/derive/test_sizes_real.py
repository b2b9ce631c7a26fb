"""Our arithmetic against SGLang's own constructors: 37 model configurations, 19 sizes, 11 more with expert parallelism.

``sizes/real.json`` is what SGLang 0.5.8 said, by ``sizes/oracle.py``; with an environment of that release at hand (mark
``lab``) it is asked again.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sgldoctor.derive.parallel import Layout, limits
from sgldoctor.probe.model import dimensions

LAB = os.environ.get("SGLDOCTOR_LAB", "")
ENVIRONMENTS = list(Path(LAB).glob("*/lib/python*/site-packages/sglang-0.5.8.dist-info")) if LAB else []
SIZES = Path(__file__).parent / "sizes"
CONFIGS: dict[str, dict[str, Any]] = json.loads((SIZES / "configs.json").read_text(encoding="utf-8"))
REAL: dict[str, dict[str, str]] = json.loads((SIZES / "real.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", CONFIGS)
def test_the_verdict_equals_that_of_sglang(name: str) -> None:
    row, odd = dimensions(CONFIGS[name])
    assert not odd
    for layout, said in REAL[name].items():
        tp, ep = (int(size) for size in layout.split("/"))
        ours = limits(row, Layout(tp, ep=ep, vocabulary=64))
        assert bool(ours) == bool(said), (layout, said, ours)


def test_the_record_covers_every_configuration() -> None:
    assert set(CONFIGS) == set(REAL)
    verdicts = [bool(said) for found in REAL.values() for said in found.values()]
    assert len(verdicts) > 800
    assert 200 < sum(verdicts) < 700


@pytest.mark.lab
@pytest.mark.skipif(not ENVIRONMENTS, reason="SGLDOCTOR_LAB names no environment with SGLang 0.5.8")
def test_sglang_still_says_so(tmp_path: Path) -> None:
    python = ENVIRONMENTS[0].parents[3] / "bin/python"
    some = tmp_path / "configs.json"
    some.write_text(json.dumps({name: CONFIGS[name] for name in ("llama3-8b-fp8", "deepseek-r1")}), encoding="utf-8")
    done = tmp_path / "real.json"
    subprocess.run([python, SIZES / "oracle.py", some, done], check=True, capture_output=True, timeout=300)
    assert json.loads(done.read_text(encoding="utf-8")) == {
        name: REAL[name] for name in ("llama3-8b-fp8", "deepseek-r1")
    }
