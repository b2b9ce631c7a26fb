"""``sgldoctor launch --fix`` as a user types it: the difference, the file, its backup, the way back."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from sgldoctor.__main__ import main

SCRIPT = """#!/bin/sh
# my server
exec python3 -m sglang.launch_server \\
  --model-path m \\
  --max-micro-batch-size 8 \\
  --port 30001
"""
AFTER = SCRIPT.replace("--max-micro", "--pp-max-micro")


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    path = tmp_path / "launch.sh"
    path.write_text(SCRIPT)
    path.chmod(0o755)
    return path


def launch(path: Path, *options: str) -> int:
    return main(
        ["launch", "--sglang", "0.5.8", "--gpus", "1", "--compute-capability", "9.0", "--file", str(path), *options]
    )


def backups(path: Path) -> list[Path]:
    return sorted(path.parent.glob("*.sgldoctor-*"))


def test_without_fix_or_with_a_dry_run_nothing_is_written(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch(script) == 1
    assert launch(script, "--fix", "--dry-run") == 1
    out = capsys.readouterr().out
    assert "-  --max-micro-batch-size 8" in out
    assert "+  --pp-max-micro-batch-size 8" in out
    assert launch(script, "--fix") == 1  # no terminal to ask on
    assert "not confirmed" in capsys.readouterr().out
    assert script.read_text() == SCRIPT
    assert backups(script) == []


def test_file_is_written_with_a_backup_and_put_back(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch(script, "--fix", "--yes") == 0
    assert script.read_text() == AFTER
    assert stat.S_IMODE(script.stat().st_mode) == 0o755
    (backup,) = backups(script)
    assert backup.read_text() == SCRIPT
    name = backup.name.rpartition("sgldoctor-")[2]
    assert f"'sgldoctor undo {name}'" in capsys.readouterr().out
    assert launch(script) == 0
    assert launch(script, "--fix", "--yes") == 0  # the second run finds nothing to do
    assert backups(script) == [backup]
    assert main(["undo", name, "--dry-run"]) == 0
    assert script.read_text() == AFTER
    assert main(["undo", name]) == 0
    assert script.read_text() == SCRIPT
    assert backups(script) == []
    assert main(["undo", name]) == 2


@pytest.mark.parametrize(
    ("size", "value"), [("--tp 4", "4"), ("--tensor-parallel-size=2", "2"), ("--log-level info", "1")]
)
def test_switch_becomes_an_option_with_the_value_of_another(script: Path, size: str, value: str) -> None:
    """SGLang: "set `--ep-size` to the same value as `--tp-size`"; where that is not given, its default."""
    script.write_text(SCRIPT.replace("--max-micro-batch-size 8", f"--enable-ep-moe {size}"))
    assert launch(script, "--gpus", "8", "--fix", "--yes") == 0
    assert script.read_text() == SCRIPT.replace("--max-micro-batch-size 8", f"--ep-size {value} {size}")


def test_file_that_was_changed_since_is_left_alone_by_undo(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch(script, "--fix", "--yes") == 0
    script.write_text(AFTER + "# mine\n")
    name = backups(script)[0].name.rpartition("sgldoctor-")[2]
    assert main(["undo", name]) == 2
    assert "was changed since" in capsys.readouterr().err
    assert script.read_text() == AFTER + "# mine\n"
    assert backups(script)


def test_machines_get_every_action_with_its_result(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert launch(script, "--fix", "--yes", "--format", "json") == 0
    fixed = json.loads(capsys.readouterr().out)["fixed"]
    assert fixed["result"] == "verified"
    assert fixed["file"] == str(script)
    (result,) = fixed["results"]
    assert (result["do"], result["flag"], result["instead"], result["result"]) == (
        "set-flag", "--pp-max-micro-batch-size", "--max-micro-batch-size", "done",
    )  # fmt: skip
    assert "+  --pp-max-micro-batch-size 8" in fixed["diff"]


def test_unsafe_changes_have_to_be_named(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script.write_text(SCRIPT.replace("--port", "--prot"))
    assert launch(script, "--fix", "--yes") == 1
    out = capsys.readouterr().out
    assert "not done: Write --port" in out
    assert "say --unsafe" in out
    assert "--prot 30001" in script.read_text()
    assert launch(script, "--fix", "--yes", "--unsafe") == 0
    assert script.read_text() == AFTER


def test_argument_file_is_written_with_a_backup(script: Path) -> None:
    config = script.with_name("config.yaml")
    config.write_text("model-path: m # which\nmax-micro-batch-size: 8\n")
    assert launch(config, "--fix", "--yes") == 0
    assert config.read_text() == "model-path: m # which\npp-max-micro-batch-size: 8\n"
    (backup,) = config.parent.glob("config.yaml.sgldoctor-*")
    assert "\nmax-micro-batch-size: 8\n" in backup.read_text()


def test_file_that_cannot_be_rewritten_for_sure_is_refused(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = script.with_name("start.py")
    text = "args = {'model_path': 'm', 'max_micro_batch_size': 8}\n"
    config.write_text(text)
    assert launch(config, "--fix", "--yes") == 1
    assert "by hand" in capsys.readouterr().err
    assert config.read_text() == text


def test_own_link_is_followed_and_a_foreign_one_is_not(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    link = script.with_name("link.sh")
    link.symlink_to(script)
    if os.geteuid() == 0:
        os.lchown(link, 12345, 12345)
        assert launch(link, "--fix", "--yes") == 1
        assert "belongs to somebody else" in capsys.readouterr().err
        assert script.read_text() == SCRIPT
        os.lchown(link, 0, 0)
    assert launch(link, "--fix", "--yes") == 0
    assert link.is_symlink()
    assert script.read_text() == AFTER


def test_words_are_shown_as_they_should_be(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["A=1", "python3", "-m", "sglang.launch_server", "--model-path", "a b", "--max-micro-batch-size", "8"]
    assert main(["launch", "--sglang", "0.5.8", "--fix", "--", *command]) == 1
    assert (
        "A=1 python -m sglang.launch_server --model-path 'a b' --pp-max-micro-batch-size 8" in capsys.readouterr().out
    )
    assert main(["launch", "--sglang", "0.5.8", "--yes", "--", *command]) == 2


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_every_other_byte_stays(script: Path, end: bytes) -> None:
    """Line ends of Windows, bytes that are no UTF-8, and a last line that does not end."""
    old = b"services:\n  a: # \xff\n    command:\n    - sglang\n    - serve\n    - m\n"
    old += b"    - --max-micro-batch-size\n    - '8'"
    path = script.with_name("compose.yaml")
    path.write_bytes(old.replace(b"\n", end))
    assert launch(path, "--fix", "--yes") == 0
    assert path.read_bytes() == old.replace(b"\n", end).replace(b"--max-micro", b"--pp-max-micro")
    name = backups(script)[0].name.rpartition("sgldoctor-")[2]
    assert main(["undo", name]) == 0
    assert path.read_bytes() == old.replace(b"\n", end)


def test_file_that_is_no_file_is_one_line(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (script.parent, script.with_name("absent"), Path("-")):
        assert launch(path, "--fix", "--yes") == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_secret_of_a_launch_line_is_not_shown(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script.write_text(SCRIPT.replace("--port 30001", "--api-key s3cr3t-v4lue --max-micro-batch-size 9"))
    launch(script, "--fix", "--yes")
    said = capsys.readouterr()
    assert "s3cr3t-v4lue" not in said.out + said.err
