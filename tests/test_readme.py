"""The README keeps its promises: its commands exist, and the log that it explains is there."""

from __future__ import annotations

import re
from pathlib import Path

from sgldoctor.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(heading: str) -> str:
    """The one fenced command under a heading."""
    section = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"^```\w*\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1
    return str(blocks[0]).strip()


def test_run_it_and_test_it_are_one_command_each() -> None:
    for heading in ("Run it", "Test it"):
        assert len(block(heading).splitlines()) == 1


def test_the_log_of_run_it_ships() -> None:
    (log,) = re.findall(r"fixtures/\S+\.log", block("Run it"))
    assert (ROOT / log).is_file()


def test_every_command_is_in_the_table_and_exists() -> None:
    assert set(re.findall(r"^\| `sgldoctor (\w+)", README, re.MULTILINE)) == set(COMMANDS)


def test_every_linked_file_exists() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
