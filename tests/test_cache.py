"""What is kept for later starts is what would have been worked out, or nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sgldoctor import cache
from sgldoctor.knowledge import files


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "sgldoctor"


def test_a_value_is_held_for_its_key_alone(folder: Path) -> None:
    assert cache.held("a", (1,)) is None
    cache.keep("a", (1,), {"x": [1, None, "ü"]})
    assert cache.held("a", (1,)) == {"x": [1, None, "ü"]}
    assert cache.held("a", (2,)) is None
    assert [path.name for path in folder.iterdir()] == ["a"]


@pytest.mark.parametrize("damage", [b"", b"nonsense", b"N", b"i\x01\x00\x00\x00"])
def test_a_damaged_file_holds_nothing(folder: Path, damage: bytes) -> None:
    cache.keep("a", (), 5)
    (folder / "a").write_bytes(damage)
    assert cache.held("a", ()) is None


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    cache.keep("a", (), 5)
    assert cache.held("a", ()) is None


@pytest.mark.parametrize("name", ["server-args.json", "env-vars.json", "launch-refusals.json", "sglang-releases.json"])
def test_a_large_knowledge_file_is_the_same_from_the_cache(folder: Path, name: str) -> None:
    expected = json.loads(files.read_text(name))
    assert files.read_json(name) == expected
    (kept,) = folder.iterdir()
    assert kept.name.startswith(name)
    stamp = kept.stat().st_mtime_ns
    assert files.read_json(name) == expected
    assert kept.stat().st_mtime_ns == stamp
    kept.write_bytes(kept.read_bytes()[:-100])
    assert files.read_json(name) == expected


def test_what_others_may_have_written_is_not_read(folder: Path) -> None:
    cache.keep("a", (), 5)
    assert (folder / "a").stat().st_mode & 0o777 == 0o600
    (folder / "a").chmod(0o666)
    assert cache.held("a", ()) is None
    (folder / "a").chmod(0o644)
    assert cache.held("a", ()) == 5


def test_a_file_of_somebody_else_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.keep("a", (), 5)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert cache.held("a", ()) is None
    cache.keep("b", (), 6)
    assert [path.name for path in folder.iterdir()] == ["a"], "nothing is written into a folder of somebody else"


def test_a_link_that_waits_is_not_written_through(folder: Path, tmp_path: Path) -> None:
    """One at the file's own place is replaced; the name of what is written first cannot be foreseen."""
    folder.mkdir()
    (tmp_path / "precious").write_text("mine")
    cache.keep("a", (), 4)
    (name,) = os.listdir(folder)
    (folder / name).unlink()
    (folder / name).symlink_to(tmp_path / "precious")
    cache.keep("a", (), 5)
    assert (tmp_path / "precious").read_text() == "mine"
    assert cache.held("a", ()) == 5
    assert os.listdir(folder) == [name]


def test_a_home_that_is_not_there_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    cache.keep("a", (), 5)
    assert not (tmp_path / "nobody").exists()
    (tmp_path / "nobody").mkdir()
    cache.keep("a", (), 5)
    assert cache.held("a", ()) == 5
