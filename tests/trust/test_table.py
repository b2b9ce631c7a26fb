"""Every line of SECURITY.md names tests, and they are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECURITY = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (.+?) \| (`tests/.+) \|$", SECURITY, re.MULTILINE)


@pytest.mark.parametrize(("line", "tests"), ROWS, ids=[line[:40] for line, _ in ROWS])
def test_a_line_is_held_by_tests_that_exist(line: str, tests: str) -> None:
    for name in re.findall(r"`(tests/[^`]+)`", tests):
        file, _, function = name.partition("::")
        text = (ROOT / file).read_text(encoding="utf-8")
        assert not function or re.search(rf"^ *def {re.escape(function)}\(", text, re.MULTILINE), name


def test_each_danger_has_lines() -> None:
    sections = re.split(r"^## ", SECURITY, flags=re.MULTILINE)[1:]
    dangers = [section for section in sections if section.startswith(("A hostile", "A shared"))]
    assert len(dangers) == 6
    assert all("| `tests/" in section for section in dangers)
