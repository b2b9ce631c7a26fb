"""The report: the JSON contract, and the same verdict in every format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import sgldoctor
from sgldoctor import pipeline
from sgldoctor.facts import Facts
from sgldoctor.report import human
from sgldoctor.report.as_json import render, to_object
from sgldoctor.report.model import Report
from sgldoctor.report.text import clean, shorten, wrap
from tests.rules.make import exceptions, log_rule, rule

SCHEMA = json.loads((Path(sgldoctor.__file__).parent / "report" / "report.schema.json").read_text(encoding="utf-8"))


def valid(report: Report) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(render(report))
    jsonschema.Draft202012Validator(SCHEMA).validate(found)
    return found


def conclude(*texts: str, strict: bool = False, facts: Facts | None = None) -> Report:
    rules = [
        log_rule("real", "real-fault", explains=["echo"], references=["https://example.org/issue/1"]),
        log_rule("echo", "echo-line", role="symptom"),
        rule("odd", severity="warning", log=[{"anchor": "odd-thing"}]),
        rule("note", role="notice", log=[{"anchor": "note-this"}]),
    ]
    return pipeline.conclude("explain", facts or Facts(), exceptions(*texts), rules, pipeline.Options(strict=strict))


def essential() -> Facts:
    facts = Facts()
    facts.put_unknown("packages", "no answer within 2 s", essential=True)
    return facts


@pytest.mark.parametrize(
    ("report", "status", "exit_status", "word"),
    [
        (conclude(), "healthy", 0, "HEALTHY"),
        (conclude("note-this"), "healthy", 0, "HEALTHY"),
        (conclude("odd-thing"), "healthy", 0, "HEALTHY"),
        (conclude("odd-thing", strict=True), "problems", 1, "PROBLEM"),
        (conclude("real-fault", "echo-line"), "problems", 1, "PROBLEM"),
        (conclude("echo-line"), "unknown", 3, "UNKNOWN"),
        (conclude("ValueError: never seen"), "unknown", 3, "UNKNOWN"),
        (conclude(facts=essential()), "unknown", 3, "UNKNOWN"),
        (conclude("real-fault", facts=essential()), "problems", 1, "PROBLEM"),
    ],
)
def test_status_exit_status_and_verdict_agree(report: Report, status: str, exit_status: int, word: str) -> None:
    assert (valid(report)["status"], report.exit_status) == (status, exit_status)
    assert human.render(report, 80).startswith(word)


def test_cause_evidence_and_symptom_are_told() -> None:
    report = conclude("real-fault", "echo-line")
    text = human.render(report, 80)
    assert "line 1: real-fault" in text
    assert "symptoms  echo (line 11)" in text
    found = valid(report)["findings"]
    assert [(finding["role"], finding["explained_by"]) for finding in found] == [("cause", None), ("symptom", "real")]
    first = {"source": "log", "text": "real-fault", "line": 1, "file": "-", "match": "real-fault"}
    assert found[0]["evidence"] == [first]


def test_an_unexplained_failure_names_itself() -> None:
    failures = valid(conclude("ValueError: never seen"))["failures"]
    assert [failure["message"] for failure in failures] == ["ValueError: never seen"]


def test_secrets_and_control_sequences_leave_in_no_format() -> None:
    report = conclude("real-fault api_key='sk-abcdefghijklmnop1234567890' \x1b[2J\x1b]0;evil\x07 \u202etxt")
    for text in (render(report), human.render(report, 200, 1)):
        assert "sk-abcdefghijklmnop" not in text
        assert "\x1b" not in text
        assert "\\u001b" not in text
        assert "\u202e" not in text


def test_colour_changes_no_word() -> None:
    import io
    import re

    report = conclude("real-fault", "echo-line", "odd-thing")
    stream = io.StringIO()
    human.paint(report, stream, 80)
    assert "\x1b[" in stream.getvalue()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert [line.rstrip() for line in plain.splitlines()] == human.render(report, 80).splitlines()


def test_quiet_shows_less_and_verbose_more() -> None:
    report = conclude("real-fault", "echo-line", "note-this")
    quiet, plain, verbose = (human.render(report, 80, verbosity) for verbosity in (-1, 0, 1))
    assert len(quiet) < len(plain)
    assert "symptoms  echo" in plain
    assert "symptom   echo" in verbose
    assert "real" in quiet
    assert "https://example.org/issue/1" in verbose


def test_facts_are_in_the_report_with_their_source() -> None:
    facts = Facts()
    facts.put("torch", {"version": "9.9"}, "probe")
    facts.put("gpus", [{"index": 0}, {"index": 1}], "probe")
    found = to_object(conclude(facts=facts))["facts"]
    assert found["torch"] == {"version": "9.9", "source": "probe"}
    assert found["gpus"] == {"source": "probe", "rows": [{"index": 0}, {"index": 1}]}


@given(st.text())
def test_cleaned_text_holds_no_control_character(text: str) -> None:
    cleaned = clean(text)
    assert all(char in "\n\t" or ord(char) >= 32 for char in cleaned)
    assert "\x7f" not in cleaned
    assert clean(cleaned) == cleaned
    cleaned.encode()


@given(st.text(max_size=300), st.integers(10, 80))
def test_wrapping_loses_no_word(text: str, width: int) -> None:
    assert " ".join(wrap(text, width)).split() == text.split()
    assert len(shorten(text, width)) <= width


def test_the_words_that_decided_stay_in_sight_of_a_long_line() -> None:
    line = "before " * 60 + "the decisive words" + " after" * 60
    cut = shorten(line, 80, "the decisive words")
    assert "the decisive words" in cut
    assert len(cut) <= 80
    assert cut.startswith("…")
    assert cut.endswith("…")
    assert shorten(line, 80, "not there") == shorten(line, 80)
    assert shorten("x" * 79 + " end", 80, "end") == "…" + shorten("x" * 79 + " end", 80, "end")[1:]
    assert shorten("x" * 79 + " end", 80, "end").endswith(" end")


def test_a_symptom_in_the_words_of_the_cause_itself_is_not_told_again() -> None:
    report = conclude("real-fault echo-line")
    assert [finding["role"] for finding in valid(report)["findings"]] == ["cause", "symptom"]
    assert "symptoms" not in human.render(report, 80)
    assert "symptom   echo" in human.render(report, 80, verbosity=1)


def test_a_notice_is_no_warning() -> None:
    rules = [rule("told", severity="info", log=[{"anchor": "told-thing"}])]
    report = pipeline.conclude("explain", Facts(), exceptions("told-thing"), rules, pipeline.Options())
    assert human.render(report, 80).splitlines()[0] == "HEALTHY  no problem found in this log"
