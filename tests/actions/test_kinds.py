"""A kind of action is one module: what every kind must have, and that one more file is all that a new kind takes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sgldoctor.actions import kind, kinds, names
from sgldoctor.actions.base import ANYWHERE, SCOPES, Action, Ground
from sgldoctor.errors import RuleError
from sgldoctor.facts import Facts
from sgldoctor.fix import effects
from sgldoctor.fix.plan import make
from sgldoctor.fix.recipe import fixes
from sgldoctor.report.plan import script
from sgldoctor.rules.schema import Evidence, Finding, Rule, build

MAKE_FOLDER = '''
"""``make-folder``: an empty folder of the user."""
from __future__ import annotations

import os

from sgldoctor.actions.base import FILES, Action
from sgldoctor.typed import NamedTuple


class _MakeFolder(NamedTuple):
    path: str


class MakeFolder(_MakeFolder, Action):
    __slots__ = ()
    do = "make-folder"
    scope = FILES
    keys = ("path",)

    @classmethod
    def form(cls, table, context):
        return cls(context.text(table["path"]))

    def describe(self):
        return f"make {self.path}"

    def command(self, place=None):
        return f"mkdir {self.path}"

    def to_json(self):
        return {"do": self.do, "path": self.path, "command": self.command()}

    def prepare(self, ground):
        return {"path": self.path, "there": os.path.isdir(self.path)}

    def apply(self, data, ground):
        os.mkdir(self.path)

    @classmethod
    def undo(cls, data, ground):
        if not data["there"]:
            os.rmdir(data["path"])
        return ""
'''


@pytest.fixture
def one_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "make_folder.py").write_text(MAKE_FOLDER)
    monkeypatch.setattr(kinds, "__path__", [*kinds.__path__, str(tmp_path)])
    yield
    import sys

    sys.modules.pop("sgldoctor.actions.kinds.make_folder", None)


def rule(**action: object) -> Rule:
    data = {
        "title": "t", "cause": "c", "about": "a", "fact": [{"each": "packages"}],
        "fix": [{"title": "Repair it", "safety": "safe", "action": [action]}],
    }  # fmt: skip
    return build(data, "some-rule", "libraries", "some-rule.toml")


@pytest.mark.parametrize("name", names())
def test_each_kind_says_what_it_is(name: str) -> None:
    found = kind(name)
    assert issubclass(found, Action)
    assert found.do == name
    assert found.scope in SCOPES
    assert found.keys
    assert found.__doc__


@pytest.mark.parametrize("name", ["", "frobnicate", "set_flag", "SetFlag", "os", "..kinds.install", "set-flag.x"])
def test_what_is_no_kind_is_refused(name: str) -> None:
    with pytest.raises(KeyError):
        kind(name)
    with pytest.raises(RuleError, match="an action must 'do' one of install, "):
        rule(do=name)


@pytest.mark.usefixtures("one_more")
def test_one_file_makes_a_kind_that_is_written_shown_planned_done_and_taken_back(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    with pytest.raises(RuleError, match="needs 'path'"):
        rule(do="make-folder")
    assert "make-folder" in names()
    evidence = (Evidence("probe", ""),)
    finding = Finding(rule(do="make-folder", path="{where}"), {"where": str(folder)}, "", "t", "cause", evidence, 1)
    facts = Facts()

    def pin(_name: str) -> None:
        return None

    found = make([finding], lambda one: fixes(one, facts, pin), facts, pin)
    assert found.others == (kind("make-folder")(str(folder)),)  # type: ignore[call-arg]
    assert f"mkdir {folder}\n" in script(found, None, ANYWHERE)
    ground = Ground(str(tmp_path), {}, "id")
    data = effects.prepare(found.others[0], ground)
    effects.apply(found.others[0], data, ground)
    assert folder.is_dir()
    assert effects.undo(data, ground) == ""
    assert not folder.exists()


def test_a_journal_of_a_newer_doctor_is_not_taken_back_in_silence(tmp_path: Path) -> None:
    said = effects.undo({"do": "make-folder", "path": "x"}, Ground(str(tmp_path), {}, "id"))
    assert "does not know how to take back 'make-folder'" in said
    effects.finish({"do": "make-folder", "path": "x"})
