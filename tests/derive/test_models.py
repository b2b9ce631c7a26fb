"""Ignored imports: only the file of the model that was asked for is a fault."""

from __future__ import annotations

import pytest

from sgldoctor import derive
from sgldoctor.facts import Facts
from sgldoctor.log import read

LOG = """[2026-01-01 10:00:00] Ignore import error when loading sglang.srt.models.{module}: No module named 'cutlass'
Traceback (most recent call last):
  File "/opt/venv/lib/python3.11/site-packages/sglang/srt/models/registry.py", line 70, in _raise_for_unsupported
    raise ValueError(
{error}
"""
ARCHITECTURE = "ValueError: Model architectures ['Qwen3NextForCausalLM'] are not supported for now."
CLASS = "ValueError: Unrecognized configuration class <class 'transformers_modules.x.DeepseekV4Config'> to build it."


@pytest.mark.parametrize(
    ("module", "error", "wanted"),
    [
        ("qwen3_next", ARCHITECTURE, True),
        ("qwen3", ARCHITECTURE, False),
        ("glmasr", ARCHITECTURE, False),
        ("deepseek_v4", CLASS, True),
        ("deepseek_v2", CLASS, True),  # the file of an earlier generation, of which a later one may live
        ("deepseek", ARCHITECTURE, False),
        ("qwen3_next", "ValueError: something else", False),
    ],
)
def test_wanted(module: str, error: str, wanted: bool, tmp_path: object) -> None:
    path = f"{tmp_path}/server.log"
    with open(path, "w", encoding="utf-8") as stream:
        stream.write(LOG.format(module=module, error=error))
    facts: Facts = read([path], []).facts
    derive.derive(facts)
    (row,) = facts.rows("log.ignored_import")
    assert (row["wanted"], row["error"]) == (wanted, "No module named 'cutlass'")
