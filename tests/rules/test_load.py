"""Loading: the cache never changes what is read, and a bad file is one clear error."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sgldoctor.errors import InputError, RuleError
from sgldoctor.facts import Facts
from sgldoctor.rules.base import RuleBase, minimal, searched
from sgldoctor.rules.load import checkout_folder, compile_folder, folder_rules, load, parse_folder
from sgldoctor.rules.schema import Rule, build
from sgldoctor.rules.select import select
from tests.rules.make import exceptions

RULE = 'title = "t"\ncause = "no-problem"\nabout = "a"\n[[log]]\nanchor = "{anchor}"\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = tmp_path / "mine" / "area"
    made.mkdir(parents=True)
    (made / "third-party.toml").write_text(RULE.format(anchor="first text"))
    return tmp_path / "mine"


def anchors(folder: Path) -> list[str]:
    return list(folder_rules(str(folder))[1])


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


def made(base: RuleBase) -> int:
    return sum(isinstance(rule, Rule) for rule in base._rules)


def test_only_rules_that_a_log_or_a_fact_asks_for_are_made(folder: Path) -> None:
    base = load([str(folder)])
    assert made(base) == 0
    found = select(Facts(), exceptions("KeyError: first text"), base, lambda _when: None)
    assert [finding.rule.slug for finding in found] == ["third-party"]
    assert made(base) < len(base) / 10
    assert {rule.slug for rule in base} == set(base.slugs())
    assert made(base) == len(base)


def test_the_index_leads_to_the_same_findings_as_the_rules_themselves(folder: Path) -> None:
    base = load([str(folder)])
    other = RuleBase.of(list(load([str(folder)])))
    assert base.anchors == other.anchors
    assert base.facts == other.facts
    assert base.witnesses() == other.witnesses()
    literals = base.literals()
    assert all(any(literal in anchor.encode() for literal in literals) for anchor in searched(base))


def test_what_counts_in_claims_alone_is_not_searched_for(folder: Path) -> None:
    rule = RULE.format(anchor="in the log") + '[[log]]\nanchor = "in the title"\nin = "claim"\n'
    (folder / "area" / "third-party.toml").write_text(rule)
    compiled = compile_folder(str(folder))
    assert sorted(compiled[1]) == ["in the log", "in the title"]
    assert compiled[2] == ("in the log",)


def test_of_anchors_that_hold_each_other_the_shortest_is_searched() -> None:
    assert minimal(["out of memory", "CUDA out of memory", "memory", "host memory left", "file"]) == ("file", "memory")


def test_a_date_in_a_rule_is_one_clear_error(folder: Path) -> None:
    (folder / "area" / "dated.toml").write_text(RULE.format(anchor="x y z") + "[when]\nsglang = 2026-01-01\n")
    with pytest.raises(RuleError, match=r"dated\.toml: .*quotes"):
        load([str(folder)])


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


def test_a_rule_that_was_kept_is_the_rule_that_was_read() -> None:
    folder = checkout_folder()
    if folder is None:
        pytest.skip("an installed copy has no folder of rules")
    held = load()
    for number, (slug, area, path, data) in enumerate(parse_folder(folder)):
        assert held[number] == build(data, slug, area, path)
        assert type(held[number].logs) is tuple
        assert all(type(match).__name__ == "LogMatch" for match in held[number].logs)
