"""Real logs with known causes, where they lie beside the checkout: the first cause must be the true one.

The logs are not the project's to ship; without them these tests are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from sgldoctor import log, pipeline
from sgldoctor.report.model import Report
from sgldoctor.rules.load import load
from sgldoctor.rules.schema import Rule
from sgldoctor.rules.select import literals

SHARED = Path(__file__).resolve().parents[2] / "shared"
CAPTURED = SHARED / "captured"
CORPUS = sorted((SHARED / "corpus").glob("dev-*.jsonl"))
NEGATIVE = {"no-problem", "request-invalid"}
RIGHT, WRONG = 0.95, 0.02
"""Shares of the known causes that must be right and may be wrong."""


@lru_cache(maxsize=1)
def rules() -> Sequence[Rule]:
    return load()


def explain(path: Path) -> Report:
    reading = log.read([str(path)], literals(rules()))
    return pipeline.conclude("explain", reading.facts, reading.events, rules(), pipeline.Options())


def wanted(path: Path) -> set[str]:
    """The causes that a captured log may be given: those of its run, else those of its case."""
    meta = json.loads((path.parent / "case.json").read_text(encoding="utf-8"))
    run = meta.get("commands", {}).get(path.stem, {})
    source = run if run.get("cause_key") else meta
    return {source["cause_key"], *source.get("also_ok", [])}


def failed(path: Path) -> bool:
    runs = json.loads((path.parent / "case.json").read_text(encoding="utf-8")).get("commands", {})
    return bool(path.stat().st_size) and bool(runs.get(path.stem, {}).get("rc", 0 if runs else 1))


LOGS = [path for path in sorted(CAPTURED.glob("*/*.log")) if (path.parent / "case.json").exists() and failed(path)]
HIDE = ("libcuda.so.1", "Found no NVIDIA driver", "No accelerator (", "'nvidia-smi'")
"""The machines of the captures had no driver: where that is what a log shows, it is what must be said."""


@pytest.mark.skipif(not LOGS, reason="no captured logs beside the checkout")
def test_captured_logs_of_broken_environments() -> None:
    misjudged = []
    for path in LOGS:
        allowed = wanted(path)
        if any(words in path.read_text(encoding="utf-8", errors="replace") for words in HIDE):
            allowed |= {"missing-libcuda", "cuda-unavailable", "driver-too-old"}
        causes = [finding.rule.cause for finding in explain(path).causes if finding.severity == "error"]
        right = not causes if allowed == {"no-problem"} else causes[:1] and causes[0] in allowed
        if not right and "" not in allowed:
            misjudged.append(f"{path.parent.name}/{path.name}: wanted {sorted(allowed)}, got {causes[:2]}")
    assert len(misjudged) <= (1 - RIGHT) * len(LOGS), "\n".join(misjudged)


@pytest.mark.skipif(not CORPUS, reason="no corpus beside the checkout")
def test_logs_of_public_reports(tmp_path: Path) -> None:
    verdicts: dict[str, list[str]] = {"right": [], "wrong": [], "unknown": [], "alarm": []}
    for path in CORPUS:
        for line in path.read_text(encoding="utf-8").splitlines():
            case = json.loads(line)
            verdicts[_judge(case, tmp_path)].append(case["id"])
    known = sum(len(verdicts[verdict]) for verdict in ("right", "wrong", "unknown"))
    assert verdicts["alarm"] == []
    assert len(verdicts["wrong"]) <= WRONG * known, verdicts["wrong"]
    assert len(verdicts["right"]) >= RIGHT * known, verdicts["unknown"]


def _judge(case: dict[str, Any], folder: Path) -> str:
    path = folder / "pasted.log"
    pasted = f"$ {case['command']}\n" if case.get("command") else ""
    path.write_text(pasted + case["log"], encoding="utf-8", errors="replace")
    causes = explain(path).causes
    allowed = {case["cause_key"], *case.get("also_ok", [])}
    if case["cause_key"] in NEGATIVE:
        alarms = [f for f in causes if f.severity == "error" and f.rule.cause not in allowed]
        return "alarm" if alarms else "right"
    if not causes:
        return "unknown"
    return "right" if causes[0].rule.cause in allowed else "wrong"
