"""The README keeps its promises: its commands exist, and the log that it explains is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

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


def test_examples_for_machines_are_valid_yaml_and_name_keys_that_exist() -> None:
    yaml = pytest.importorskip("yaml")
    text = (ROOT / "docs" / "repair.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert len(blocks) == 2
    for block_ in blocks:
        assert isinstance(yaml.safe_load(block_), list)
    tasks = yaml.safe_load(blocks[1])
    assert "fixed.result" in tasks[0]["changed_when"]
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - {"--env-file", "--dry-run", "--path"}:
        assert any(option in path.read_text(encoding="utf-8") for path in (ROOT / "sgldoctor" / "cli").glob("*.py"))
