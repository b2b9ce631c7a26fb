"""A snapshot is somebody's word about another machine: it is judged, and nothing is done by it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sgldoctor.__main__ import main


@pytest.mark.parametrize("more", [[], ["--yes"], ["--dry-run"]])
def test_nothing_is_repaired_by_a_snapshot(tmp_path: Path, more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "snapshot.json")
    assert main(["snapshot", "--python", sys.executable, "-o", path]) == 0
    capsys.readouterr()
    assert main(["check", "--snapshot", path, "--fix", *more]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--snapshot" in line
