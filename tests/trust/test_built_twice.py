"""The wheel is the same, byte for byte, from equal sources: in another folder, at another time, with another mask."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytest.importorskip("build")
pytest.importorskip("hatchling")

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("sgldoctor", "rules", "hatch_build.py", "pyproject.toml", "README.md", "LICENSE")


def built(folder: Path, mask: str) -> Path:
    """A wheel of a copy of the sources, whose files are as new as the copy."""
    folder.mkdir(parents=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            skipped = shutil.ignore_patterns("__pycache__", "_rules.py")
            shutil.copytree(ROOT / name, folder / name, ignore=skipped, copy_function=shutil.copyfile)
        else:
            shutil.copyfile(ROOT / name, folder / name)
    command = f"umask {mask}; exec '{sys.executable}' -m build --wheel --no-isolation --outdir out ."
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1767225600", "PYTHONHASHSEED": mask}
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (wheel,) = (folder / "out").glob("*.whl")
    return wheel


def test_equal_sources_make_equal_wheels(tmp_path: Path) -> None:
    one, other = built(tmp_path / "one", "022"), built(tmp_path / "somewhere" / "else", "077")
    with zipfile.ZipFile(one) as first, zipfile.ZipFile(other) as second:
        assert first.namelist() == second.namelist()
        assert [name for name in first.namelist() if first.read(name) != second.read(name)] == []
    assert hashlib.sha256(one.read_bytes()).hexdigest() == hashlib.sha256(other.read_bytes()).hexdigest()
