"""The lab itself: real environments made from the package index, broken, and examined as they lie there.

``SGLDOCTOR_LAB`` names a folder with the sound environments (``good058`` and so on: ``uv pip install sglang==0.5.8``).
Copies are hard links and are removed again; packages that a variant needs come from the index or uv's cache.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.env import Variant, make
from tests.lab.replay import examine, judge, load, to_data, told
from tests.lab.test_replay import as_expected
from tests.lab.variants import ALL

LAB = Path(os.environ.get("SGLDOCTOR_LAB") or "/nonexistent")

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not LAB.is_dir(), reason="SGLDOCTOR_LAB names no folder of environments"),
]


@pytest.fixture
def work() -> Iterator[Path]:
    folder = LAB / f"check-live-{os.getpid()}"
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("variant", ALL, ids=lambda variant: variant.name)
def test_found_named_rightly_and_first(variant: Variant, work: Path, tmp_path: Path) -> None:
    if not (LAB / variant.good).is_dir():
        pytest.skip(f"no {variant.good} in {LAB}")
    folder = work / variant.name
    make(LAB, folder, variant)
    # Judged as it is recorded: limits, disks and cards of the machine that the lab lies on are no part of it.
    report = judge(to_data(examine(folder, variant), folder), tmp_path)
    assert as_expected(report, variant) == ""
    if shutil.which("nvidia-smi") is None:  # with a GPU, more is found
        assert told(report) == load(variant.name)["findings"]
