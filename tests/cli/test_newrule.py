"""``sgldoctor rules new``: what it drafts from a log is a rule that finds that log again, and others like it."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgldoctor.cli.newrule import draft
from sgldoctor.events import Event
from sgldoctor.report.redact import redact
from sgldoctor.rules.lint import lint_regex
from tests.cli.test_errors import doctor, one_line

LOG = """[2026-11-20 10:00:00 TP0] Scheduler hit an exception: Traceback (most recent call last):
  File "/opt/venv/lib/python3.12/site-packages/sglang/srt/managers/scheduler.py", line 200, in frobnicate
    raise ValueError(f"flux capacitor {name!r} has {n} of {m} charges in {path}")
ValueError: flux capacitor {main} 'alpha' has 3 of 12 charges in /var/lib/flux/main
server_args=ServerArgs(model_path='m', api_key='sesame-open')
"""


def test_a_draft_finds_its_log_and_the_same_fault_elsewhere(tmp_path: Path) -> None:
    log, rules = tmp_path / "crash.log", tmp_path / "rules"
    log.write_text(LOG)
    made = ["--rules", str(rules), "--from", str(log), "--cause", "sglang-bug"]
    done = doctor("rules", "new", "odd-crash", *made)
    assert done.returncode == 0, done.stderr
    (rule,) = rules.rglob("*.toml")
    assert rule.name == "odd-crash.toml"
    fixture = (tmp_path / "fixtures" / "odd-crash" / "fires-first.log").read_text()
    assert fixture == LOG.replace("sesame-open", "<redacted>")
    assert b"2 passed, 0 failed" in doctor("rules", "test", "odd-crash", "--rules", str(rules)).stdout
    linted = doctor("rules", "lint", str(rules), "--fixtures", str(tmp_path / "fixtures"))
    assert linted.stdout == b"no problems\n"
    other = LOG.replace("'alpha' has 3 of 12", "'beta' has 45 of 99").replace("/var/lib/flux/main", "/srv/x")
    found = doctor("explain", "--rules", str(rules), "-", stdin=other.encode())
    assert b"[odd-crash]" in found.stdout
    assert "exists already" in one_line(doctor("rules", "new", "odd-crash", *made))


def test_without_a_log_there_is_a_form_to_fill_in(tmp_path: Path) -> None:
    done = doctor("rules", "new", "mine", "--rules", str(tmp_path / "rules"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "rules" / "drafts" / "mine.toml").is_file()
    linted = doctor("rules", "lint", str(tmp_path / "rules")).stdout.decode()
    assert "cause 'choose-one' is not in the vocabulary" in linted
    assert linted.endswith("1 problem\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["new"], "name the new rule"),
        (["new", "Bad_Name"], "words of a-z"),
        (["new", "missing-libcudnn"], "exists already"),
        (["new", "mine", "--cause", "missing-libcudn"], "near are missing-libcudnn"),
        (["new", "mine", "--from", "/nonexistent"], "/nonexistent"),
        (["new", "mine", "--from", "README.md"], "nothing failed in it"),
    ],
)
def test_what_cannot_be_drafted_is_said_in_one_line(arguments: list[str], words: str, tmp_path: Path) -> None:
    assert words in one_line(doctor("rules", *arguments, "--rules", str(tmp_path / "rules")))
    assert not (tmp_path / "rules").exists()


@settings(max_examples=150, deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=120))
def test_a_draft_matches_the_message_that_it_was_made_of(message: str) -> None:
    event = Event("exception", f"ValueError: {message}", 1, 0, type="ValueError")
    made = draft(event)
    shown = redact(event.text)
    assert made.anchor in shown
    assert len(made.anchor.encode()) >= 4
    if made.pattern:
        assert re.search(made.pattern, shown)
        assert not lint_regex(made.pattern)


def test_all_rules_as_one_page() -> None:
    from sgldoctor.rules.load import load
    from sgldoctor.rules.page import describe, reference

    rules = list(load())
    page = reference(rules)
    assert all(f"\n### {rule.slug}\n" in page for rule in rules)
    assert all(f"](#{rule.slug})" in page for rule in rules)
    fence = ""
    for line in io.StringIO(page):  # every block of text is closed before the next heading
        mark = re.match(r"(`{3,})", line)
        if mark and not fence:
            fence = mark.group(1)
        elif line.rstrip() == fence:
            fence = ""
        assert not (fence == "" and line.startswith("    "))
    assert fence == ""
    rule = next(rule for rule in rules if rule.slug == "missing-libcudnn")
    shown = describe(rule)
    assert rule.about.splitlines()[0] in shown
    assert "in: exception" in shown
    assert "Fix (" in shown
