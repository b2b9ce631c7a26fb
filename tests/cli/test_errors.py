"""Bad input: one clear line, the right exit status, no traceback, whatever is thrown at the command line."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def doctor(*arguments: str, stdin: bytes = b"", **environ: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "sgldoctor", *arguments],
        input=stdin,
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, **environ},
        timeout=60,
        check=False,
    )


def one_line(done: subprocess.CompletedProcess[bytes], status: int = 2) -> str:
    text = done.stderr.decode()
    assert done.returncode == status, text
    assert "Traceback" not in text
    assert text.startswith("sgldoctor: ")
    return text


def test_no_command_shows_the_help() -> None:
    done = doctor()
    assert done.returncode == 2
    assert b"usage: sgldoctor COMMAND" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["chek"], "did you mean 'check'"),
        (["explain", "--frmat", "json"], "unrecognized arguments"),
        (["explain", "--format", "yaml"], "invalid choice"),
        (["explain", "/nonexistent/crash.log"], "/nonexistent/crash.log"),
        (["explain", "/"], "/"),
        (["explain", "--rules", "/nonexistent", "-"], "no such folder of rules"),
        (["explain", "--ignore", "x", "-"], "RULE=REASON@YYYY-MM-DD"),
        (["check", "--python", "/nonexistent/python"], "/nonexistent/python"),
        (["check", "--venv", "/nonexistent"], "/nonexistent"),
        (["check", "--python", "a", "--venv", "b"], "give one"),
        (["rules", "show", "no-such-rule"], "no rule named"),
        (["rules", "show"], "which rule"),
        (["rules"], "missing: action\n"),
        (["check", "--pid", "abc"], "--pid 'abc': a whole number is needed"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: list[str], words: str) -> None:
    assert words in one_line(doctor(*arguments))


def test_a_rule_file_with_an_error_names_it(tmp_path: Path) -> None:
    (tmp_path / "area").mkdir()
    (tmp_path / "area" / "mine.toml").write_text("title = 1\n")
    assert "mine.toml: 'title' must be a text" in one_line(doctor("explain", "--rules", str(tmp_path), "-"))


LOGS = {
    "empty": b"",
    "blank": b"\n\n\n",
    "binary": bytes(range(256)) * 64,
    "nul": b"\0" * 10000,
    "utf16": "Traceback (most recent call last):\nValueError: x\n".encode("utf-16"),
    "cut-utf8": "ошибка".encode()[:-1],
    "long-line": b"x" * 5_000_000 + b" ValueError: y " + b"z" * 1_000_000,
    "escapes": b"\x1b[2J\x1b]0;title\x07ValueError: \x1b[31mred\x1b[0m\n",
    "gzip": gzip.compress(b"ValueError: x\n"),
}


@pytest.mark.parametrize("name", LOGS)
@pytest.mark.parametrize("form", ["human", "json"])
def test_any_log_gets_a_report(name: str, form: str, tmp_path: Path) -> None:
    path = tmp_path / ("crash.log.gz" if name == "gzip" else "crash.log")
    path.write_bytes(LOGS[name])
    done = doctor("explain", "--format", form, str(path))
    assert done.returncode in (0, 1, 3), done.stderr
    assert done.stderr == b""
    assert b"\x1b" not in done.stdout


def test_an_ignored_rule_stays_counted(tmp_path: Path) -> None:
    (tmp_path / "area").mkdir()
    (tmp_path / "area" / "mine.toml").write_text(
        'title = "t"\ncause = "sglang-bug"\nabout = "a"\n[[log]]\nanchor = "flux capacitor"\n'
    )
    log = b"ValueError: the flux capacitor is empty\n"
    rules = ["--rules", str(tmp_path)]
    assert doctor("explain", *rules, "-", stdin=log).returncode == 1
    silenced = doctor("explain", *rules, "--ignore", "mine=known since May@2999-01-01", "-", stdin=log)
    assert b"known since May" in silenced.stdout
    assert silenced.returncode == 0
    assert doctor("explain", *rules, "--ignore", "mine=too old@2001-01-01", "-", stdin=log).returncode == 1
    assert doctor("explain", *rules, "--exit-zero", "-", stdin=log).returncode == 0


def test_a_reader_that_goes_away_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m sgldoctor rules list | head -n 1", shell=True, capture_output=True, cwd=ROOT, check=False
    )
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "--area", "librarys"], "near are libraries"),
        (["check", "--area", "zzz"], "there are disaggregation, distributed"),
        (["explain", "--ignore", "shm-to-small=x@2999-01-01", "-"], "near are shm-too-small"),
        (["rules", "list", "--area", "zzz"], "there are"),
        (["rules", "list", "--cause", "host-oom-kiled"], "near are host-oom-killed"),
        (["check", "--snapshot", "/"], "/ is a folder, not a file"),
        (["launch", "--file", "/nonexistent"], "cannot read /nonexistent: No such file"),
    ],
)
def test_a_name_that_is_none_is_refused_with_those_that_are_near(arguments: list[str], words: str) -> None:
    assert words in one_line(doctor(*arguments))


@pytest.mark.parametrize(("name", "words"), [("empty", "is empty"), ("binary", "is not text"), ("nul", "is not text")])
def test_what_is_no_log_is_not_called_healthy(name: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "crash.log"
    path.write_bytes(LOGS[name])
    done = doctor("explain", str(path))
    assert done.returncode == 3
    assert f"{path} {words}" in " ".join(done.stdout.decode().split())


def test_an_empty_pipe_says_where_the_log_may_have_gone() -> None:
    done = doctor("explain", stdin=b"")
    assert done.returncode == 3
    assert b"2>&1" in done.stdout


def test_a_folder_without_rules_is_no_clean_one(tmp_path: Path) -> None:
    assert "no rules are in it" in one_line(doctor("rules", "lint", str(tmp_path)))
