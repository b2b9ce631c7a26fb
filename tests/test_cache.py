"""What is kept for later starts is what would have been worked out, or nothing."""

from __future__ import annotations

import json
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
