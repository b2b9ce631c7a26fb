"""Inputs that ``tests/fuzz/readers.py`` found or began with are read again: an answer in time, or one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.readers import READERS, examine

SEEDS = [
    pytest.param(reader, path, id=f"{reader}-{path.name}")
    for reader in READERS
    for path in sorted(Path(__file__).parent.glob(f"seeds-{reader}/*"))
]


@pytest.mark.parametrize(("reader", "seed"), SEEDS)
def test_what_the_fuzzer_reads_keeps_every_promise(reader: str, seed: Path) -> None:
    examine(reader, seed.read_bytes())


def test_every_reader_has_seeds() -> None:
    assert {seed.values[0] for seed in SEEDS} == set(READERS)
