from __future__ import annotations

import os
from pathlib import Path

import pytest

from sgldoctor.actions import variables
from sgldoctor.actions.base import Ground
from sgldoctor.actions.kinds.remove_cache import RemoveCache
from sgldoctor.actions.kinds.set_env import SetEnv
from sgldoctor.actions.kinds.set_flag import SetFlag
from sgldoctor.actions.kinds.system_package import SystemPackage
from sgldoctor.actions.kinds.unset_env import UnsetEnv
from sgldoctor.actions.kinds.write_file import WriteFile
from sgldoctor.errors import FixError
from sgldoctor.fix import effects


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    environ = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    (tmp_path / "home").mkdir()
    return Ground("/venv", environ, "id1")


def do(action: SetEnv | UnsetEnv | WriteFile | RemoveCache, ground: Ground) -> dict[str, object]:
    assert action.check(ground) == ""
    data = effects.prepare(action, ground)
    effects.apply(action, data, ground)
    return data


def test_variables_go_to_the_file_of_the_environment_and_back(ground: Ground) -> None:
    path = variables.path_of("/venv", ground.environ)
    first = do(SetEnv("A", "1"), ground)
    second = do(SetEnv("A", "2"), ground)
    third = do(UnsetEnv("B"), ground)
    assert variables.load(path) == {"A": "2", "B": None}
    assert variables.load(variables.path_of("/other/venv", ground.environ)) == {}
    for data, left in [(third, {"A": "2"}), (second, {"A": "1"}), (first, {})]:
        assert effects.undo(data, ground) == ""
        assert variables.load(path) == left
    assert not os.path.exists(path)


def test_file_is_written_and_taken_back_unless_somebody_changed_it(ground: Ground) -> None:
    path = Path(ground.environ["HOME"]) / ".config" / "x.conf"
    data = do(WriteFile("~/.config/x.conf", "new\n"), ground)
    assert path.read_text() == "new\n"
    path.write_text("mine\n")
    assert "was changed since" in effects.undo(data, ground)
    path.write_text("new\n")
    assert effects.undo(data, ground) == ""
    assert not path.exists()
    path.write_text("old\n")
    data = do(WriteFile("$HOME/.config/x.conf", "new\n"), ground)
    effects.undo(data, ground)
    assert path.read_text() == "old\n"


def test_file_is_never_written_through_a_link(ground: Ground) -> None:
    home = Path(ground.environ["HOME"])
    (home / "victim").write_text("precious")
    (home / "x").symlink_to(home / "victim")
    assert "no regular file" in WriteFile("~/x", "new").check(ground)
    with pytest.raises(FixError):
        effects.apply(WriteFile("~/x", "new"), {"do": "write-file", "path": str(home / "x")}, ground)
    assert (home / "victim").read_text() == "precious"


def test_cache_is_set_aside_deleted_when_proven_and_put_back_else(ground: Ground) -> None:
    cache = Path(ground.environ["HOME"]) / ".triton" / "cache"
    for proven in (False, True):
        cache.mkdir(parents=True, exist_ok=True)
        (cache / "kernel").write_text("x")
        data = do(RemoveCache("triton"), ground)
        assert not cache.exists()
        if proven:
            effects.finish(data)
        else:
            cache.mkdir()
            assert "in use again" in effects.undo(data, ground)
            cache.rmdir()
        assert effects.undo(data, ground) == ""
        assert cache.exists() is not proven
    assert os.listdir(cache.parent) == []


@pytest.mark.parametrize(
    "place", ["/", "/usr", "/usr/lib", "{home}", "{home}/..", "{home}/link", "{home}/absent", "etc"]
)
def test_what_cannot_be_a_cache_is_never_removed(ground: Ground, place: str) -> None:
    home = Path(ground.environ["HOME"])
    (home / "real").mkdir()
    (home / "link").symlink_to(home / "real")
    environ = {**ground.environ, "TRITON_CACHE_DIR": place.format(home=home)}
    try:
        assert RemoveCache("triton").check(ground._replace(environ=environ))
    except FixError as error:
        assert "no absolute path" in str(error)  # noqa: PT017


def test_what_cannot_be_taken_back_is_said(ground: Ground) -> None:
    data = effects.prepare(SystemPackage(("libnuma1",)), ground)
    assert "libnuma1 stay installed" in effects.undo(data, ground)


def test_launch_lines_are_not_the_doctors_to_change(ground: Ground) -> None:
    with pytest.raises(FixError, match="not done by the doctor"):
        effects.apply(SetFlag("--tp-size", "2"), {}, ground)


def test_folder_that_a_stranger_has_linked_is_not_written_through(ground: Ground, tmp_path: Path) -> None:
    """Not only the last part of a path: any folder on the way may be a link."""
    import os

    (tmp_path / "real").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "real")
    action = WriteFile(str(tmp_path / "linked" / "file"), "x")
    assert action.check(ground) == ""
    if os.geteuid() != 0:
        pytest.skip("only root can give a link to somebody else")
    os.lchown(tmp_path / "linked", 12345, 12345)
    assert "belongs to somebody else" in action.check(ground)
    with pytest.raises(FixError, match="belongs to somebody else"):
        effects.apply(action, effects.prepare(action, ground), ground)
    assert not (tmp_path / "real" / "file").exists()


def test_action_that_does_not_hold_is_an_error(ground: Ground) -> None:
    """As where another program writes the file at the same moment."""
    action = SetEnv("SGLANG_A", "1")
    data = effects.prepare(action, ground)
    effects.apply(action, data, ground)
    assert action.verify(data, ground) == ""
    Path(data["path"]).write_text("SGLANG_A=2\n")
    assert "does not say set SGLANG_A=1" in action.verify(data, ground)
