"""``sgldoctor upgrade``: what breaks, what is ignored in silence, what moves, and the line that works afterwards."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from sgldoctor.__main__ import main
from sgldoctor.knowledge import flags

NEWEST = flags.releases()[-1]
SERVER = ["python3", "-m", "sglang.launch_server", "--model-path", "org/m"]


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("SGL", "NCCL", "VIRTUAL_ENV")):
            monkeypatch.delenv(name)


@pytest.fixture
def upgrade(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(old: str, new: str, *line: str) -> dict[str, Any]:
        words = ["--", *line] if line else []
        status = main(["upgrade", "--from", old, "--to", new, "--format", "json", *words])
        return {"exit": status, **json.loads(capsys.readouterr().out)}

    return run


def test_gone_flags_break_and_the_new_line_has_their_successors(upgrade: Any) -> None:
    said = upgrade("0.5.8", NEWEST, *SERVER, "--tp", "8", "--cuda-graph-max-bs", "32", "--stream-output")
    assert said["exit"] == 1
    assert len(said["line"]["breaks"]) == 2
    assert "--cuda-graph-max-bs-decode 32" in said["line"]["after"]
    assert "--incremental-streaming-output" in said["line"]["after"]
    again = upgrade("0.5.8", NEWEST, *said["line"]["after"].split())
    assert again["exit"] == 0


def test_what_breaks_under_both_is_no_news(upgrade: Any) -> None:
    said = upgrade("0.5.21", NEWEST, *SERVER, "--no-such-flag", "1")
    assert said["line"]["breaks"] == []


def test_a_variable_that_nobody_reads_any_more_is_named(upgrade: Any) -> None:
    said = upgrade("0.5.8", NEWEST, "SGLANG_DISABLE_TP_MEMORY_INBALANCE_CHECK=1", *SERVER)
    (text,) = said["line"]["ignored"]
    assert "without a word" in text
    assert "SGLANG_ENABLE_TP_MEMORY_INBALANCE_CHECK=0" in said["line"]["after"]


def test_what_no_fix_can_know_is_left_by_hand(upgrade: Any) -> None:
    said = upgrade("0.5.8", NEWEST, *SERVER, "--attention-backend", "cutlass_mla")
    assert said["exit"] == 1
    assert any("--attention-backend" in text for text in said["line"]["by_hand"])


def test_packages_cuda_python_and_glibc(upgrade: Any) -> None:
    said = upgrade("0.5.8", "0.5.23")
    assert said["exit"] == 0
    assert said["line"] is None
    names = {change["name"]: change for change in said["packages"]}
    assert names["torch"]["after"] == "2.14.1"
    assert "uninstall sgl-kernel first" in names["kernel"]["note"]
    assert "same files" in names["nvidia-cudnn-cu12"]["note"]
    assert {change["kind"]: change["after"] for change in said["platform"]} == {
        "cuda": "13.0", "driver": "580.65.06", "python": ">=3.11", "glibc": ">=2.34"
    }  # fmt: skip


def test_nothing_changes_between_a_release_and_itself(upgrade: Any) -> None:
    said = upgrade(NEWEST, NEWEST, *SERVER)
    assert (said["exit"], said["packages"], said["platform"], said["defaults"]) == (0, [], [], [])
    assert said["line"]["after"] == said["line"]["before"]


def test_defaults_that_the_size_of_the_gpu_decides(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["upgrade", "--from", "0.5.8", "--to", "0.5.23", "--gpu-memory", "32", "--format", "json", "--", *SERVER]
    assert main(asked) == 0
    said = {change["name"]: change for change in json.loads(capsys.readouterr().out)["defaults"]}
    assert (said["--chunked-prefill-size"]["before"], said["--chunked-prefill-size"]["after"]) == ("2048", "4096")


def test_what_the_line_gives_is_no_changed_default(upgrade: Any) -> None:
    def changed(*more: str) -> set[str]:
        return {change["name"] for change in upgrade("0.5.8", NEWEST, *SERVER, *more)["defaults"]}

    assert "--hicache-mem-layout" in changed()
    assert "--hicache-mem-layout" not in changed("--hicache-mem-layout", "layer_first")


@pytest.mark.parametrize(("arguments", "said"), [
    (["--to", "9.9"], "no release that is known"), ([], "--to is required"),
    (["--from", "0.5.8", "--to", NEWEST, "--", "ls"], "no SGLang server command"),
    (["--from", "0.5.8", "--to", NEWEST, "--launch", "x", "--", "y"], "not both"),
])  # fmt: skip
def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert (
        main(["upgrade", *arguments, *([] if "--from" in arguments or not arguments else ["--from", "0.5.8"])][:]) == 2
    )
    assert said in capsys.readouterr().err
