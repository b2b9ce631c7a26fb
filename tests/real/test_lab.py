"""Real installations of SGLang, where there are some: environments in the folder that ``SGLDOCTOR_LAB`` names.

Those whose name begins with ``good`` must be silent, whatever release they hold; every other one must agree with
``uv pip check`` on what SGLang and torch ask for. They are 10 GB each, so nothing here installs one.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sgldoctor import derive
from sgldoctor.facts import Facts
from sgldoctor.knowledge.releases import normalise
from sgldoctor.probe.environments import find
from sgldoctor.probe.libraries import libraries
from sgldoctor.probe.packages import packages

LAB = os.environ.get("SGLDOCTOR_LAB", "")
ENVIRONMENTS = sorted(path.parent for path in Path(LAB).glob("*/pyvenv.cfg")) if LAB else []

pytestmark = [pytest.mark.lab, pytest.mark.skipif(not ENVIRONMENTS, reason="SGLDOCTOR_LAB names no environments")]


def examine(folder: Path) -> Facts:
    target = find(None, str(folder), None, {"PATH": os.environ["PATH"]})
    facts = packages(target)
    facts.merge(libraries(target, facts))
    return facts


@pytest.mark.parametrize(
    "folder", [path for path in ENVIRONMENTS if path.name.startswith("good")], ids=lambda p: p.name
)
def test_a_sound_installation_is_silent(folder: Path) -> None:
    facts = examine(folder)
    derive.derive(facts)
    for name in (
        *(f"packages.{kind}" for kind in ("missing", "unpinned", "mixed_cuda", "damaged", "overlapping", "leftovers")),
        *("libraries.corrupt", "libraries.versions", "symbols.undefined"),
    ):
        assert facts.rows(name) == (), name
    # Where there is no driver its library is missing, and nothing else is.
    assert {row["kind"] for row in facts.rows("libraries.unresolved")} <= {"driver", "no-gpu"}
    assert facts.value("kernel", "status") == "right"
    assert facts.value("kernel", "torch_fits") is True


@pytest.mark.parametrize("folder", ENVIRONMENTS, ids=lambda path: path.name)
def test_requirements_are_judged_as_uv_judges_them(folder: Path) -> None:
    uv = Path(sys.executable).with_name("uv")
    if not uv.exists():
        pytest.skip("no uv beside this Python")
    command = [str(uv), "pip", "check", "--python", str(folder / "bin/python")]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
    lines = re.findall(r"The package `([^`]+)` requires `([\w.-]+)[^`]*`", said)
    expected = {normalise(wanted) for by, wanted in lines if normalise(by) == "sglang"}
    judged = {"sglang"}
    if "torch" not in expected:
        # What another torch than SGLang's asks for is not to be followed.
        expected |= {normalise(wanted) for by, wanted in lines if normalise(by) == "torch"}
        judged.add("torch")
    facts = examine(folder)
    derive.derive(facts)
    rows = [*facts.rows("packages.missing"), *facts.rows("packages.unpinned")]
    assert {row["name"] for row in rows if row["wanted_by"] in judged} == expected


def test_probing_takes_a_quarter_of_a_second() -> None:
    folder = ENVIRONMENTS[0]
    examine(folder)
    times = []
    for _ in range(5):
        begin = time.process_time()
        examine(folder)
        times.append(time.process_time() - begin)
    assert min(times) < 0.25
