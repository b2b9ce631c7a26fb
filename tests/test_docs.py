"""The documentation keeps its promises: links lead somewhere, pages made from code are up to date, examples work."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
_FENCED = re.compile(r"^([ \t]*)(`{3,})(\w*)\n(.*?)^\1\2[ \t]*$", re.DOTALL | re.MULTILINE)


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = _FENCED.sub("", path.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = _FENCED.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def test_the_index_names_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\]\((\w[\w-]*\.md)\)", index)) == {path.name for path in PAGES[:-2]} - {"README.md"}


def test_pages_made_from_code_are_up_to_date() -> None:
    spec = importlib.util.spec_from_file_location("made_docs", ROOT / "scripts" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for path, made in script.PAGES.items():
        assert (ROOT / path).read_text(encoding="utf-8") == made(), f"{path} is old: run 'python scripts/docs.py'"


EXAMPLES = [
    pytest.param(command, shown, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, (command, shown) in enumerate(
        (command, shown)
        for _, _, kind, body in _FENCED.findall(page.read_text(encoding="utf-8"))
        if kind == "console"
        for command, shown in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", body, re.MULTILINE)
    )
]


@pytest.mark.parametrize(("command", "shown"), EXAMPLES)
def test_examples_print_what_they_say(command: str, shown: str, tmp_path: Path) -> None:
    """``...`` stands for anything, as a line for any lines."""
    program = tmp_path / "sgldoctor"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m sgldoctor "$@"\n')
    program.chmod(0o755)
    environ = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-c", command], cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=60
    )
    pattern = re.escape(shown).replace(re.escape("...\n"), r"(?:.*\n)*?").replace(re.escape("..."), r"[^\n]*?")
    assert re.fullmatch(pattern, done.stdout), done.stdout + done.stderr


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 5


def test_actions_of_the_examples_are_pinned_by_commit() -> None:
    used = [line for page in PAGES for line in re.findall(r"\buses: (\S+.*)", page.read_text(encoding="utf-8"))]
    assert len(used) >= 6
    for line in used:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+", line), line


def test_examples_of_jobs_are_valid_yaml() -> None:
    yaml = pytest.importorskip("yaml")
    for name in ("ci.md", "releases.md"):
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        for body in re.findall(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
            assert yaml.safe_load(body), name


def test_options_of_the_update_are_those_of_its_page() -> None:
    text = (ROOT / "docs" / "releases.md").read_text(encoding="utf-8")
    source = (ROOT / "scripts" / "update.py").read_text(encoding="utf-8")
    for option in re.findall(r"update\.py.* (--[a-z-]+)", text):
        assert f'"{option}"' in source
