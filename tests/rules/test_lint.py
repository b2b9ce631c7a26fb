"""The linter: every rule that would be wrong, slow or dangerous is refused, with the place and the reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from sgldoctor.errors import RuleError
from sgldoctor.rules.lint import lint_folder, lint_regex
from sgldoctor.rules.schema import build

GOOD = """
title = "{library} is missing"
cause = "missing-shared-library"
about = "It is not there."
[[log]]
anchor = "cannot open shared object file"
pattern = '(?P<library>lib[\\w.-]{1,60}): cannot open shared object file'
[[fact]]
each = "libraries.unresolved"
where = { kind = "system" }
[[fix]]
title = "Install {library}"
safety = "safe"
[[fix.action]]
do = "install"
packages = ["{pin:numpy}"]
"""


def lint(tmp_path: Path, text: str, name: str = "a-rule.toml") -> list[str]:
    folder = tmp_path / "rules" / "area"
    folder.mkdir(parents=True)
    (folder / name).write_text(text)
    return lint_folder(str(tmp_path / "rules"))


def test_a_good_rule_passes(tmp_path: Path) -> None:
    assert lint(tmp_path, GOOD) == []


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('cause = "missing-shared-library"', 'cause = "nonsense"', "not in the vocabulary"),
        ('about = "It is not there."', "about = '  '", "'about' must say why"),
        ('anchor = "cannot open shared object file"', 'anchor = "abc"', "shorter than 4 bytes"),
        ("{1,60}", "+", "bound every quantifier"),
        ("(?P<library>lib[\\w.-]{1,60})", "(?P<library>(?:li[b]{1,5}){1,60})", "no repetition inside"),
        ("'(?P<library>", "'^(?P<library>", "no ^"),
        ("'(?P<library>", "'(((?P<library>", "no regular expression"),
        ('each = "libraries.unresolved"', 'each = "libraries.lost"', "not in the vocabulary"),
        ("{ kind =", "{ sort =", "no column 'sort'"),
        ('title = "Install {library}"', 'title = "Install {thing}"', "placeholder {thing}"),
        ('["{pin:numpy}"]', '["numpy==2.0"]', "holds a version"),
        ('do = "install"', 'do = "pray"', "must 'do' one of"),
        ('packages = ["{pin:numpy}"]', "deps = true", "needs 'packages'"),
        ('title = "{library} is missing"', "", "'title' is missing"),
        ("(?P<library>lib[\\w.-]{1,60})", "(?P<library>lib[\\w.-]{1,60})?", "write {library|words}"),
        ("(?P<library>lib[\\w.-]{1,60})", "(?:(?P<library>libc)|libd)", "write {library|words}"),
        (
            'cause = "missing-shared-library"',
            'cause = "missing-shared-library"\nexplains = ["nobody"]',
            "neither a rule nor a cause",
        ),
        (
            'cause = "missing-shared-library"',
            'cause = "missing-shared-library"\nwhen = { sglang = "new" }',
            "no version range",
        ),
        (
            'cause = "missing-shared-library"',
            'cause = "missing-shared-library"\ncolour = "red"',
            "unknown key 'colour'",
        ),
        ("[[log]]", "[[log", "not valid TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    assert old in GOOD
    problems = lint(tmp_path, GOOD.replace(old, new, 1))
    assert any(complaint in problem and "a-rule.toml" in problem for problem in problems), problems


def test_a_title_may_say_what_stands_for_the_unknown(tmp_path: Path) -> None:
    worded = GOOD.replace("{library} is missing", "{library|A library} is missing")
    assert lint(tmp_path, worded.replace("{1,60})", "{1,60})?", 1)) == []


def test_a_name_that_is_no_slug(tmp_path: Path) -> None:
    assert any("file name" in problem for problem in lint(tmp_path, GOOD, "A_Rule.toml"))


def test_a_rule_without_anything_to_select_is_refused() -> None:
    with pytest.raises(RuleError, match=r"x\.toml: a rule needs at least one"):
        build({"title": "t", "cause": "c", "about": "a"}, "x", "area", "x.toml")


@pytest.mark.parametrize(
    "pattern", [r"a{1,9}b?c", r"(?:ab|cd){0,1}[^\s]{1,200}", r"(?<=x)y(?!z)", r"(?P<n>\d{1,9}) of"]
)
def test_bounded_patterns_pass(pattern: str) -> None:
    assert lint_regex(pattern) == []


@pytest.mark.parametrize(
    "pattern", ["a*", "a+", "a{5,}", "(?:a{1,3}){2,5}", "^a", r"\Aa", "(?:x(?:y{1,2}){1,9}){1,9}", "("]
)
def test_dangerous_patterns_do_not(pattern: str) -> None:
    assert lint_regex(pattern)
