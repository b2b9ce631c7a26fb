"""Inputs that the fuzzer (``tests/fuzz/explain.py``) found or began with are read again: no crash, nothing echoed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.explain import examine

SEEDS = sorted((Path(__file__).resolve().parents[1] / "fuzz" / "seeds").iterdir())


@pytest.mark.parametrize("seed", SEEDS, ids=lambda path: path.name)
def test_what_the_fuzzer_reads_keeps_every_promise(seed: Path) -> None:
    examine(seed.read_bytes())
