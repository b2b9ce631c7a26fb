"""``sgldoctor snapshot``, ``check --snapshot`` and ``check --against``, as people run them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_errors import doctor, one_line
from tests.lab_env import PREFIX, Lab, make_env, needs_gcc


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return make_env(tmp_path, "0.5.8")


def of(lab: Lab) -> list[str]:
    return ["--root", str(lab.root), "--venv", PREFIX]


def findings(text: bytes) -> object:
    data = json.loads(text)
    return [data[name] for name in ("status", "findings", "unknown")]


@needs_gcc
@pytest.mark.parametrize("broken", [False, True])
def test_written_here_and_judged_there(broken: bool, lab: Lab, tmp_path: Path) -> None:
    if broken:
        lab.uninstall("nvidia-cudnn-cu12")
    path = tmp_path / "a.json"
    done = doctor("snapshot", *of(lab), "-o", str(path))
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    live = doctor("check", *of(lab), "--format", "json")
    again = doctor("check", "--snapshot", str(path), "--format", "json")
    assert findings(again.stdout) == findings(live.stdout)
    assert again.returncode == live.returncode == (1 if broken else 0)
    human = doctor("check", "--snapshot", str(path), "--width", "400").stdout.decode()
    assert f"snapshot {path} 20" in human
    assert ("libcudnn" in human) is broken
    piped = doctor("check", "--snapshot", "-", "--format", "json", stdin=path.read_bytes())
    assert findings(piped.stdout) == findings(live.stdout)


@needs_gcc
def test_the_same_snapshot_is_the_same_text(lab: Lab) -> None:
    def stable(data: bytes) -> str:
        text = re.sub(r'"taken": "[^"]+"', "", data.decode().split('"seconds"')[0])
        return re.sub(r'"(free_mib|memory_\w+)": \d+', "", text)

    one, two = doctor("snapshot", *of(lab)), doctor("snapshot", *of(lab), "-o", "-")
    assert stable(one.stdout) == stable(two.stdout)
    assert json.loads(one.stdout)["schema"] == "sgldoctor.snapshot/1"


@needs_gcc
def test_what_changed_is_shown_with_the_culprit_first(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "yesterday.json"
    assert doctor("snapshot", *of(lab), "-o", str(path)).returncode == 0
    same = doctor("check", *of(lab), "--against", str(path)).stdout.decode()
    assert "nothing since 20" in same
    lab.uninstall("nvidia-cudnn-cu12")
    done = doctor("check", *of(lab), "--against", str(path))
    assert done.returncode == 1
    lines = done.stdout.decode().splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("changed"))
    assert "package nvidia-cudnn-cu12 9.10.2.21 -> absent  [missing-libcudnn]" in lines[at + 1]
    assert "library libcudnn.so.9 absent -> not found" in lines[at + 2]
    data = json.loads(doctor("check", *of(lab), "--against", str(path), "--format", "json").stdout)
    first = data["facts"]["changes"]["rows"][0]
    assert (first["what"], first["after"], first["rank"], first["kind"]) == ("nvidia-cudnn-cu12", None, 1, "package")
    # Two files, no machine: what changed between them.
    later = tmp_path / "today.json"
    doctor("snapshot", *of(lab), "-o", str(later))
    both = json.loads(doctor("check", "--snapshot", str(later), "--against", str(path), "--format", "json").stdout)
    assert both["facts"]["changes"]["rows"] == data["facts"]["changes"]["rows"]
    silenced = doctor(
        "check", "--snapshot", str(later), "--against", str(path), "--format", "json",
        "--ignore", "changed-since-snapshot=known@2999-01-01",
    )  # fmt: skip
    assert [entry["rule"] for entry in json.loads(silenced.stdout)["ignored"]] == ["changed-since-snapshot"]


def test_variables_that_changed_are_named_and_secret_ones_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "yesterday.json"
    where = ["--python", sys.executable]
    assert doctor("snapshot", *where, "-o", str(path), stdin=b"", NCCL_DEBUG="WARN").returncode == 0
    done = doctor("check", *where, "--against", str(path), stdin=b"", NCCL_DEBUG="INFO", NIXL_TOKEN="abcdefgh12345")
    text = done.stdout.decode()
    assert "variable NCCL_DEBUG WARN -> INFO" in text
    assert "variable NIXL_TOKEN absent -> <redacted>" in text
    assert "abcdefgh12345" not in text


def test_a_snapshot_holds_no_secret_and_on_request_no_name() -> None:
    def taken(*arguments: str, key: str = "") -> str:
        done = doctor(
            "snapshot",
            "--python",
            sys.executable,
            "--launch",
            line,
            *arguments,
            stdin=b"",
            SGLDOCTOR_PSEUDONYM_KEY=key,
            **environ,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.decode()

    environ: dict[str, Any] = {
        "HF_TOKEN": "hf_abcdefghijklmnopqrstuvwxyz",
        "https_proxy": "http://alice:hunter2@proxy.corp.example:3128",
        "MASTER_ADDR": "node17.corp.example",
        "HF_HOME": "/home/alice/hf",
        "USER": "alice",
    }
    line = "python -m sglang.launch_server --model-path /home/alice/m --api-key sesame-open --dist-init-addr node17:1"
    plain = taken()
    assert not [secret for secret in ("hf_abc", "hunter2", "sesame") if secret in plain]
    assert "node17.corp.example" in plain
    hidden = taken("--pseudonyms")
    own = os.uname().nodename
    for name in ("hf_abc", "hunter2", "sesame", "alice", "node17", "corp.example", *([f'"{own}"'] if own else [])):
        assert name not in hidden, name
    keyed = taken("--pseudonyms", key="ours")
    assert json.loads(keyed)["pseudonyms"] == "own key"
    assert json.loads(keyed)["facts"]["environment"] != json.loads(hidden)["facts"]["environment"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "--snapshot", "/nonexistent/a.json"], "/nonexistent/a.json"),
        (["check", "--snapshot", "/"], "is a folder"),
        (["check", "--snapshot", "README.md"], "not a snapshot"),
        (["check", "--against", "README.md", "--snapshot", "README.md"], "not a snapshot"),
        (["check", "--against", "pyproject.toml"], "not a snapshot"),
        (["check", "--snapshot", "a", "--python", "b"], "--python needs a machine"),
        (["check", "--snapshot", "a", "--fix"], "--fix needs a machine"),
        (["check", "--snapshot", "a", "--model", "m"], "--model needs a machine"),
        (["check", "--snapshot", "-", "--against", "-"], "cannot both be standard input"),
        (["snapshot", "-o", "/nonexistent/a.json"], "cannot write"),
        (["snapshot", "-o", "/"], "is a folder"),
        (["snapshot", "--format", "json"], "unrecognized arguments"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: list[str], words: str) -> None:
    text = one_line(doctor(*arguments))
    assert words in text
    assert text.count("\n") <= 2  # the hint at --help is the second


def test_a_newer_snapshot_names_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"schema": "sgldoctor.snapshot/2"}')
    assert "upgrade sgldoctor" in one_line(doctor("check", "--snapshot", str(path)))


def test_a_full_disk_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old\n")
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 1; trap "" XFSZ; exec "$@"', "-", sys.executable, "-m", "sgldoctor", "snapshot",
         "-o", str(path)],
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert b"cannot write" in done.stderr
    assert path.read_text() == "old\n"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.json"]


def test_a_snapshot_read_as_a_log_is_no_healthy_log(tmp_path: Path) -> None:
    path = tmp_path / "node.json"
    assert doctor("snapshot", "-o", str(path)).returncode == 0
    done = doctor("explain", str(path))
    assert done.returncode == 3
    assert "is no log but a snapshot of sgldoctor; 'sgldoctor check --snapshot' judges it" in " ".join(
        done.stdout.decode().split()
    )
