"""The default reserve against SGLang's own formula, written out by hand from its source."""

from __future__ import annotations

import pytest

from sgldoctor.derive.reserve import Wants, defaults, fraction, of
from sgldoctor.knowledge import flags

H100, A10, B200 = 81559, 23028, 183359


def by_hand(gpu: int, chunked: int, graph: int, tp: int, *, pieces: int = 0, dp: int = 0, more: int = 0) -> float:
    """``_handle_gpu_memory_settings`` of 0.5.8 (server_args.py:879) and 0.5.23 (arg_groups/memory_hook.py), in MiB."""
    reserved = 512 + max(chunked, 2048) * 1.5 + graph * 2 + tp / 8 * 1024 + pieces * 8
    if dp:
        reserved += graph * dp * 3 + (graph * dp * 1.5 if graph > 300 else 0)
    if gpu > 60 * 1024:
        reserved = max(reserved, 10 * 1024)
    return round((gpu - reserved - more) / gpu, 3)


def known(release: str) -> dict[str, object]:
    row = of(release)
    assert row is not None
    return dict(row)


@pytest.mark.parametrize(("release", "gpu", "wants", "expected"), [
    ("0.5.8", H100, Wants(), by_hand(H100, 8192, 256, 1)),
    ("0.5.8", H100, Wants(tp=8), by_hand(H100, 8192, 512, 8)),
    ("0.5.8", A10, Wants(), by_hand(A10, 2048, 24, 1)),
    ("0.5.23", A10, Wants(), by_hand(A10, 4096, 48, 1)),
    ("0.5.8", B200, Wants(tp=4), by_hand(B200, 16384, 512, 4)),
    ("0.5.8", H100, Wants(tp=8, dp_attention=8), by_hand(H100, 8192, 512, 8, dp=8)),
    ("0.5.8", H100, Wants(speculative="EAGLE"), by_hand(H100, 8192, 256, 1, more=2048)),
    ("0.5.13", H100, Wants(speculative="EAGLE"), by_hand(H100, 8192, 256, 1, more=4096)),
    ("0.5.23", H100, Wants(speculative="EAGLE"), by_hand(H100, 8192, 256, 1)),
    ("0.5.8", H100, Wants(speculative="NGRAM"), by_hand(H100, 8192, 256, 1)),
    ("0.5.23", H100, Wants(deepep=True), by_hand(H100, 8192, 256, 1, more=2048)),
    # 58 sizes of prefill graphs up to 8192 tokens, as a server logs them.
    ("0.5.23", H100, Wants(prefill_graph=True), by_hand(H100, 8192, 256, 1, pieces=58)),
    ("0.5.8", H100, Wants(chunked=2048, graph=8), by_hand(H100, 2048, 8, 1)),
    ("0.5.8", B200, Wants(chunked=-1), by_hand(B200, 16384, 512, 1)),
    ("0.5.8", B200, Wants(dp_attention=2, graph=256), by_hand(B200, 16384, 256, 1, dp=2)),
])  # fmt: skip
def test_the_default_fraction(release: str, gpu: int, wants: Wants, expected: float) -> None:
    assert fraction(known(release), gpu, wants) == expected


def test_the_size_of_the_gpu_decides_the_chunk_and_the_largest_graph() -> None:
    row = known("0.5.8")
    assert [defaults(row, size * 1024, 1) for size in (16, 24, 40, 80, 141, 180)] == [
        (2048, 8), (2048, 24), (4096, 32), (8192, 256), (8192, 256), (16384, 512)
    ]  # fmt: skip
    assert defaults(row, 24 * 1024, 4) == (2048, 80)


def test_before_the_formula_a_fixed_part_was_kept() -> None:
    """0.5.2: ``reserved_mem = (9.5 + parallel_size / 2) * 1024`` on an H100 (server_args.py:472)."""
    for tp in (1, 8):
        expected = (81920 - (9.5 + tp / 2) * 1024) / 81920
        assert fraction(known("0.5.2"), 81920, Wants(tp=tp)) == pytest.approx(expected, abs=0.001)


@pytest.mark.parametrize("release", flags.releases())
def test_every_release_is_known(release: str) -> None:
    assert 0.5 < fraction(known(release), H100, Wants(tp=8)) < 0.95
