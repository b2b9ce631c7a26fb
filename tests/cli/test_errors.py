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
        (["explain", "--frmat", "json"], "unrecognized arguments: --frmat; did you mean '--format'?"),
        (["explain", "--json"], "did you mean '--format json'?"),
        (["launch", "--gpuz", "8", "--", "sglang", "serve", "m"], "did you mean '--gpus'?"),
        (["launch", "--json", "--", "sglang", "serve", "m"], "did you mean '--format json'?"),
        (["explain", "--pid", "1", "-"], "--pid goes with --here or --fix"),
        (["check", "--launch", " "], "--launch: the launch line is empty"),
        (["upgrade", "--to", "0.5.20", "--from", "0.5.8", "--launch", ""], "--launch: the launch line is empty"),
        (["check", "--no-index"], "the options of the installer"),
        (["check", "--fix", "--constraint", "/no/such/file"], "--constraint /no/such/file"),
        (["check", "--snapshot", "-"], "standard input is empty: not a snapshot; 'sgldoctor snapshot' writes one"),
        (["check", "--snapshot", "README.md"], "'sgldoctor explain' reads logs"),
        (["undo", ""], "'' is no repair; 'sgldoctor undo --list' shows them"),
        (["undo", "--list", "x"], "--list shows all repairs: leave out the ID"),
        (["rules", "list", "x"], "rules list takes no names; 'sgldoctor rules show x' shows one rule"),
        (["rules", "show", "missing-libcudnn", "--accept"], "--accept goes with 'rules test'"),
        (["rules", "list", "--from", "x"], "--from goes with 'rules new'"),
        (["rules", "docs", "--format", "json"], "--format json goes with 'rules list' and 'rules show'"),
        (["explain", "--width=-5"], "no number of columns from 40 to 10000"),
        (["tp", "m", "--width", "x"], "no number of columns from 40 to 10000"),
        (["crash.log"], "no such command: crash.log; there are check, explain"),
        (["README.md"], "README.md is a file, and a command comes first: sgldoctor explain README.md"),
        (["-v", "check"], "-v: a command comes first, as in 'sgldoctor check -v'"),
        (["help", "chek"], "did you mean 'check'"),
        (["explain", "--format", "yaml"], "--format 'yaml': choose from human, json, markdown"),
        (["explain", "--sglang", "abc", "-"], "--sglang 'abc' is no release, such as"),
        (["upgrade", "--to", "abc", "--from", "0.5.8"], "--to 'abc' is no release, such as"),
        (["check", "--launch"], "--launch: a value is missing"),
        (["launch", "--gpus", "0", "--", "x"], "sgldoctor: --gpus: '0' is no number from 1"),
        (["explain", "--ignore", "shm-too-small=x@2027-13-01", "-"], "there is no day 2027-13-01"),
        (["tp", "no/such-model"], "name the model's folder, or its config.json with --config"),
        (["tp", "--config", "/"], "/ is a folder, not a file"),
        (["explain", "/nonexistent/crash.log"], "/nonexistent/crash.log"),
        (["explain", "/"], "/"),
        (["explain", "--rules", "/nonexistent", "-"], "no such folder of rules"),
        (["explain", "--ignore", "x", "-"], "RULE=REASON@YYYY-MM-DD"),
        (["check", "--python", "/nonexistent/python"], "/nonexistent/python"),
        (["check", "--venv", "/nonexistent"], "/nonexistent"),
        (["check", "--python", "a", "--venv", "b"], "give one"),
        (["rules", "show", "no-such-rule"], "no rule named 'no-such-rule'; 'sgldoctor rules list' names them"),
        (["rules", "show"], "which rule"),
        (["rules"], "missing: action (list, show, lint, test, new, docs)\n"),
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
    ended = doctor("explain", *rules, "--ignore", "mine=too old@2001-01-01", "-", stdin=log)
    assert ended.returncode == 1
    assert b"mine is no longer ignored: that ended on 2001-01-01" in ended.stderr
    assert doctor("explain", *rules, "--exit-zero", "-", stdin=log).returncode == 0


@pytest.mark.parametrize("arguments", ["rules list", "explain --exit-zero README.md", "redact README.md", "--help"])
def test_a_reader_that_goes_away_is_no_error_and_no_verdict(arguments: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "sgldoctor", *arguments.split()],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        assert child.stderr is not None
        child.stdout.close()
        assert child.stderr.read() == b""
    assert child.returncode == 128 + 13


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", ["rules list", "explain README.md", "redact README.md", "--help"])
def test_an_output_that_cannot_be_written_is_told(arguments: str) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sgldoctor", *arguments.split()],
            stdout=full, stderr=subprocess.PIPE, cwd=ROOT, check=False,
        )  # fmt: skip
    assert one_line(done) == "sgldoctor: cannot write the output: No space left on device\n"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_are_no_defect(closed: str) -> None:
    command = f"exec {sys.executable} -m sgldoctor explain fixtures/missing-libcudnn/fires-import.log {closed}"
    done = subprocess.run(command, shell=True, capture_output=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert done.stderr == b""
    assert (b"cuDNN" in done.stdout) == (">&-" not in closed.split())


def test_help_for_one_command() -> None:
    assert doctor("help", "explain").stdout == doctor("explain", "--help").stdout


def test_a_script_that_is_binary_holds_no_launch_line(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"\x7fELF\0\0\n-a --b --model-path x --tp 2\n")
    assert f"{path} is not text" in one_line(doctor("launch", "--file", str(path)))


def test_a_lint_that_met_no_launch_line_says_so(tmp_path: Path) -> None:
    done = doctor("lint", str(tmp_path))
    assert (done.returncode, done.stdout) == (0, b"HEALTHY  no launch line of SGLang found\n")


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


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["check", "--help"], ["launch", "--help"]])
def test_a_text_that_cannot_be_written_is_no_success(arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sgldoctor", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            timeout=60,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.decode() == "sgldoctor: cannot write the output: No space left on device\n"


def test_lint_says_where_the_release_comes_from(tmp_path: Path) -> None:
    script = tmp_path / "run.sh"
    script.write_text("python -m sglang.launch_server --model-path org/name\n")
    assert b"(the newest known)" in doctor("lint", str(script)).stdout
    assert b"(given with --sglang)" in doctor("lint", "--sglang", "0.5.8", str(script)).stdout
