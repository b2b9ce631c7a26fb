"""Patterns from kept forms are those that ``re`` compiles."""

from __future__ import annotations

import marshal
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sgldoctor import lazy
from sgldoctor.rules.load import load


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(lazy, "_kept", lazy._Kept())


def kept(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "sgldoctor").glob("patterns-*")
    return path


SOURCES: list[tuple[str | bytes, int]] = [
    ("a(?P<x>b)?(c)", 0),
    ("é[à-ü]+|\\w{2,5}", re.IGNORECASE),
    (rb"^\d+$", re.MULTILINE),
    ("(?x) a  # comment", 0),
    ("(?<!x)y(?=z)(?i:q)", 0),
]


def test_a_kept_form_is_the_pattern_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patterns = [match.pattern for rule in load() for match in rule.logs if match.pattern]
    wanted = [*SOURCES, *((pattern, 0) for pattern in patterns)]
    for source, flags in wanted:
        assert lazy._kept.pattern(source, int(flags)) == re.compile(source, flags)
    lazy.keep()
    monkeypatch.setattr(lazy, "_kept", lazy._Kept())
    for source, flags in wanted:
        found, expected = lazy._kept.pattern(source, int(flags)), re.compile(source, flags)
        assert found == expected  # compares the compiler's numbers
        assert (found.groups, found.groupindex, found.flags) == (expected.groups, expected.groupindex, expected.flags)
    assert not lazy._kept.new
    assert kept(tmp_path).stat().st_size > 1000


@pytest.mark.parametrize("damage", ["empty", "cut", "numbers", "version", "shape"])
def test_a_damaged_cache_is_compiled_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    lazy.compiled("(a+)b")
    lazy.keep()
    path = kept(tmp_path)
    version, forms = marshal.loads(path.read_bytes())
    form = forms["(a+)b", 0]
    if damage == "numbers":
        forms["(a+)b", 0] = [form[0], b"\xff" * 40, *form[2:]]
    elif damage == "version":
        version, forms["(a+)b", 0] = ("another",), ["nonsense"]
    elif damage == "shape":
        forms["(a+)b", 0] = 5
    path.write_bytes({"empty": b"", "cut": path.read_bytes()[:-20]}.get(damage, marshal.dumps((version, forms))))
    monkeypatch.setattr(lazy, "_kept", lazy._Kept())
    match = lazy.compiled("(a+)b").match("aab")
    assert match
    assert match[1] == "aa"


def test_a_wrong_pattern_raises_what_re_raises() -> None:
    with pytest.raises(re.error):
        lazy.compiled("(a")


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert lazy.compiled("abc").search("xabc")
    lazy.keep()


def test_a_run_keeps_what_it_compiled_and_ends_with_its_status(tmp_path: Path) -> None:
    log = tmp_path / "crash.log"
    log.write_text("ImportError: libcudnn.so.9: cannot open shared object file: No such file or directory\n")
    environ = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "sgldoctor", "explain", str(log)]
    first, second = (subprocess.run(command, env=environ, capture_output=True, check=False) for _ in range(2))
    assert (first.returncode, first.stderr) == (1, b"")
    assert (second.returncode, second.stdout) == (1, first.stdout)
    assert list((tmp_path / "cache" / "sgldoctor").glob("patterns-*"))
    with open("/dev/full", "wb") as full:
        failed = subprocess.run(command, env=environ, stdout=full, stderr=subprocess.PIPE, check=False)
    assert failed.returncode
    assert failed.stderr
