"""A last line that is cut off: named where only one cause begins so, left alone otherwise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sgldoctor import log, pipeline
from sgldoctor.report.model import Report
from sgldoctor.rules.cutoff import begins, branches, overlap
from sgldoctor.rules.load import load
from sgldoctor.rules.select import literals
from tests.test_honesty import FAULTS

TRACE = """[2026-02-03 10:11:12 TP0] Scheduler hit an exception: Traceback (most recent call last):
  File "/opt/venv/lib/python3.12/site-packages/sglang/srt/managers/scheduler.py", line 3, in run_scheduler_process
    scheduler = Scheduler(
"""


def explain(text: str, folder: Path) -> Report:
    path = folder / "crash.log"
    path.write_text(text, encoding="utf-8")
    reading = log.read([str(path)], literals(load()))
    return pipeline.conclude("explain", reading.facts, reading.events, load(), pipeline.Options())


def causes(text: str, folder: Path) -> list[str]:
    return [finding.rule.cause for finding in explain(text, folder).causes if finding.severity == "error"]


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        ("triton.runtime.errors.OutOfResources: out of resource: shared mem", "attention-backend-unsupported"),
        ("ModuleNotFoundError: No module named 'sgl_ker", "kernel-version-mismatch"),
        (
            "ValueError: Weight output_partition_size = 576 is not divisible by weight quanti",
            "quant-block-not-divisible",
        ),
    ],
)
def test_a_cut_line_is_named_with_little_confidence(line: str, cause: str, tmp_path: Path) -> None:
    (finding,) = [found for found in explain(TRACE + line, tmp_path).causes if found.severity == "error"]
    assert (finding.rule.cause, finding.rule.confidence) == (cause, "low")
    assert finding.title.endswith("(its line is cut off)")


@pytest.mark.parametrize(
    "line",
    [
        "RuntimeError: CU",  # too short
        "FileNotFoundError: [Errno 2] No such file or directory: '/usr",  # any file
        "ImportError: cannot import name 'foo' from 'tran",  # any package
        "RuntimeError: CUDA error: operation not supported",  # whole, though another message begins so
    ],
)
def test_what_may_go_on_in_several_ways_stays_unknown(line: str, tmp_path: Path) -> None:
    report = explain(TRACE + line, tmp_path)
    assert [finding.rule.slug for finding in report.causes] == []
    assert report.failures


def test_only_the_last_line_may_be_cut(tmp_path: Path) -> None:
    text = f"{TRACE}RuntimeError: CUDA out of mem\n\nINFO: shut down\nValueError: nobody knows this\n"
    assert causes(text, tmp_path) == []


def test_a_title_of_full_length_may_be_cut(tmp_path: Path) -> None:
    begin = "# [Bug] " + "when the model is loaded for the second time, " * 5
    text = f"{begin}RuntimeError: CUDA out of mem\n\nplease help\n"
    assert causes(text, tmp_path) == ["oom-runtime"]
    assert causes(text.replace(begin, "# [Bug] "), tmp_path) == []


def test_of_all_rules_a_cut_line_names_no_other_cause(tmp_path: Path) -> None:
    """A quarter of the decisive lines of all fixtures, each cut at a half or at three quarters of it, in turn.

    A few rules differ in their last words only.
    """
    wrong, right = [], 0
    for number, case in enumerate(FAULTS[::4]):
        share = (0.5, 0.75)[number % 2]
        text = Path(case.path).read_text(encoding="utf-8")
        whole = explain(text, tmp_path)
        errors = [finding for finding in whole.causes if finding.severity == "error" and finding.events]
        if not errors:
            continue
        event = errors[0].events[0]
        number = max(event.line, event.end) if event.frames else event.line
        lines = text.split("\n")
        lines[number - 1] = lines[number - 1][: int(len(lines[number - 1]) * share)]
        named = causes("\n".join(lines[:number]), tmp_path)
        known = {finding.rule.cause for finding in whole.findings}
        right += bool(named) and named[0] in known
        wrong += [case.path] if named and named[0] not in known else []
    assert right > 20 * len(wrong), wrong


def test_parts_of_a_pattern() -> None:
    assert branches(r"ab\.c(?P<x>\d{1,3}|y)[^\]]+z|q") == [
        [(r"ab\.c", 4), (r"(?P<x>\d{1,3}|y)", 0), (r"[^\]]+", 0), ("z", 1)],
        [("q", 1)],
    ]


@pytest.mark.parametrize(
    ("text", "letters"),
    [("cannot open shared object fi", 28), ("cannot open x", 0), ("so: cannot op", 9), ("", 0)],
)
def test_how_much_of_a_pattern_a_text_shows(text: str, letters: int) -> None:
    found, shown = begins("cannot open shared object file", text)
    assert shown == letters
    assert (found is None) == (letters == 0)


def test_every_pattern_can_be_taken_apart() -> None:
    """Its parts together are the pattern, and begin as it does."""
    for rule in load():
        for match in rule.logs:
            parts = branches(match.pattern)
            assert "|".join("".join(part for part, _ in branch) for branch in parts) == match.pattern
            for branch in parts:
                re.compile("".join(part for part, _ in branch))


def test_overlap_is_less_than_the_whole() -> None:
    assert overlap("xx out of", "out of memory") == 6
    assert overlap("out of memory", "out of memory") == 0
