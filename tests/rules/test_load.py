"""Loading: the cache never changes what is read, and a bad file is one clear error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sgldoctor.errors import InputError, RuleError
from sgldoctor.rules.load import compile_folder, folder_rules, load

RULE = 'title = "t"\ncause = "no-problem"\nabout = "a"\n[[log]]\nanchor = "{anchor}"\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = tmp_path / "mine" / "area"
    made.mkdir(parents=True)
    (made / "third-party.toml").write_text(RULE.format(anchor="first text"))
    return tmp_path / "mine"


def anchors(folder: Path) -> list[str]:
    return [data["log"][0]["anchor"] for _, _, _, data in folder_rules(str(folder))]


def test_rules_of_a_folder_are_added_to_the_built_in_ones(folder: Path) -> None:
    slugs = [rule.slug for rule in load([str(folder)])]
    assert "third-party" in slugs
    assert len(slugs) == len(load()) + 1


def test_the_cache_is_used_and_follows_changes(folder: Path) -> None:
    assert anchors(folder) == ["first text"]
    assert list((folder.parent / "cache" / "sgldoctor").glob("rules-*.marshal"))
    assert folder_rules(str(folder)) == compile_folder(str(folder))
    (folder / "area" / "third-party.toml").write_text(RULE.format(anchor="another text"))
    assert anchors(folder) == ["another text"]


@pytest.mark.parametrize("damage", [b"", b"garbage", b"\xe3" * 100])
def test_a_damaged_cache_is_no_error(folder: Path, damage: bytes) -> None:
    anchors(folder)
    for cache in (folder.parent / "cache" / "sgldoctor").iterdir():
        cache.write_bytes(damage)
    assert anchors(folder) == ["first text"]


def test_an_unusable_cache_folder_is_no_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = folder.parent / "blocked"
    blocked.write_text("a file, not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert anchors(folder) == ["first text"]


def test_errors_name_the_file(folder: Path) -> None:
    bad = folder / "area" / "bad.toml"
    bad.write_text("title = ")
    with pytest.raises(RuleError, match=r"bad\.toml: not valid TOML"):
        load([str(folder)])
    bad.write_text('title = "t"')
    with pytest.raises(RuleError, match=r"bad\.toml: 'cause' is missing"):
        load([str(folder)])
    with pytest.raises(InputError, match="no such folder"):
        load([str(folder / "nowhere")])


def test_a_slug_exists_once(folder: Path) -> None:
    os.makedirs(folder / "other")
    (folder / "other" / "third-party.toml").write_text(RULE.format(anchor="copy"))
    with pytest.raises(RuleError, match="exists already"):
        load([str(folder)])
