from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgldoctor.actions import files, variables
from sgldoctor.errors import FixError
from sgldoctor.fix import journal


def begin(folder: Path, name: str, prefix: str = "/venv") -> None:
    journal.append(str(folder), {"id": name, "event": "begin", "prefix": prefix, "python": prefix + "/bin/python",
                                 "why": ["repair"], "steps": [{"verb": "install", "packages": ["a==1"]}],
                                 "moves": [["b", "1", "2"]], "before": {}})  # fmt: skip


def test_entries_are_put_together_from_their_lines(tmp_path: Path) -> None:
    begin(tmp_path, "one")
    begin(tmp_path, "two")
    journal.append(str(tmp_path), {"id": "one", "event": "verified", "touched": ["a"]})
    one, two = journal.read(str(tmp_path))
    assert (one.end, one.touched, one.why) == ("verified", {"a"}, "repair")
    assert (two.end, two.touched) == ("", {"a", "b"})
    assert journal.unfinished(str(tmp_path), "/venv") == two
    assert journal.unfinished(str(tmp_path), "/other") is None


def test_only_what_is_in_force_can_be_undone(tmp_path: Path) -> None:
    folder = str(tmp_path)
    with pytest.raises(FixError, match="nothing to undo"):
        journal.undoable(folder)
    begin(tmp_path, "one")
    journal.append(folder, {"id": "one", "event": "verified"})
    begin(tmp_path, "two", "/other")
    assert journal.undoable(folder).id == "two"
    assert journal.undoable(folder, "/venv").id == "one"
    journal.append(folder, {"id": "two", "event": "undone"})
    assert journal.undoable(folder).id == "one"
    with pytest.raises(FixError, match="taken back already"):
        journal.undoable(folder, name="two")


def test_line_that_was_cut_short_takes_no_other_with_it(tmp_path: Path) -> None:
    begin(tmp_path, "one")
    path = tmp_path / journal.NAME
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole + whole[:length].rstrip(b"\n"))
        journal.append(str(tmp_path), {"id": "one", "event": "verified"})
        assert journal.read(str(tmp_path))[0].end == "verified", length


def test_journal_is_private_and_never_written_through_a_link(tmp_path: Path) -> None:
    begin(tmp_path, "one")
    assert (tmp_path / journal.NAME).stat().st_mode & 0o777 == 0o600
    other = tmp_path / "other"
    other.mkdir()
    victim = tmp_path / "victim"
    victim.write_text("")
    (other / journal.NAME).symlink_to(victim)
    with pytest.raises(FixError, match="without a journal nothing is changed"):
        begin(other, "two")
    assert victim.read_text() == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_full_disk_stops_the_repair(tmp_path: Path) -> None:
    os.symlink("/dev/full", tmp_path / journal.NAME)
    with pytest.raises(FixError):
        begin(tmp_path, "one")


@given(st.binary(max_size=400))
def test_any_bytes_are_read_as_a_journal(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("j")
    (folder / journal.NAME).write_bytes(data + b'\n{"id": "x", "event": "begin"}\n')
    assert [entry.id for entry in journal.read(str(folder))][-1:] == ["x"]


def test_files_are_written_whole_and_never_through_a_link(tmp_path: Path) -> None:
    target = tmp_path / "conf"
    files.write(str(target), "one\n")
    target.chmod(0o640)
    files.write(str(target), "two\n")
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("two\n", 0o640)
    link = tmp_path / "link"
    link.symlink_to(target)
    with pytest.raises(FixError, match="no regular file"):
        files.write(str(link), "three\n")
    assert target.read_text() == "two\n"
    assert sorted(os.listdir(tmp_path)) == ["conf", "link"]


def test_variables_survive_the_file(tmp_path: Path) -> None:
    path = str(tmp_path / "x.env")
    wanted = {"A": "1", "B": 'it\'s "q" $HOME', "C": None, "D": "a=b"}
    variables.save(path, "/venv", wanted)
    assert variables.load(path) == wanted
    assert variables.applied({"A": "0", "C": "1", "E": "2"}, wanted) == {
        "A": "1", "B": "it's \"q\" $HOME", "D": "a=b", "E": "2"
    }  # fmt: skip
    variables.save(path, "/venv", {})
    assert not os.path.exists(path)


@given(st.text(alphabet=st.characters(codec="ascii", categories=["L", "N", "P", "S", "Zs"]), max_size=40))
def test_exports_reach_a_shell_as_they_are(value: str) -> None:
    import subprocess

    script = variables.exports({"X_VALUE": value}, "bash") + 'printf %s "$X_VALUE"'
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == value


def test_exports_for_other_shells() -> None:
    held = {"A": "it's", "B": None}
    assert variables.exports(held, "fish") == "set -gx A 'it\\'s'\nset -e B\n"
    assert variables.exports(held, "csh") == "setenv A 'it'\\''s'\nunsetenv B\n"
    assert json.loads(json.dumps(held)) == held
