"""Whatever comes in: no exception, and an answer in time."""

from __future__ import annotations

import contextlib
import json
import pathlib

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sgldoctor.errors import InputError
from sgldoctor.events import KINDS
from tests.log.texts import KERNEL_BLOCK, chained_traceback, events, exceptions, plain_traceback, reading

SHARED = pathlib.Path(__file__).resolve().parents[2] / ".." / "shared"
FRAGMENTS = [
    *plain_traceback().splitlines(),
    *chained_traceback(explicit=True).splitlines(),
    *KERNEL_BLOCK.splitlines(),
    "  + Exception Group Traceback (most recent call last):",
    "  +-+---------------- 1 ----------------",
    "    | ValueError: x",
    "Traceback (most recent call last):",
    "[2025-06-04 16:47:33 TP0] Scheduler hit an exception: Traceback (most recent call last):",
    "[rank1]: ",
    "(WorkerDict pid=1) x",
    "ERROR 05-08 00:47:57 [core.py:396] ValueError: x",
    "usage: x [-h]",
    "Fatal Python error: Aborted",
    "Current thread 0x00007f06 (most recent call first):",
    "terminate called after throwing an instance of 'c10::Error'",
    "ERROR: Cannot install x",
    "  × No solution found when resolving dependencies:",  # noqa: RUF001
    "multiprocessing.pool.RemoteTraceback: ",
    '"""',
    "",
    "  ...",
    "Exception ignored in: <x>",
    "Ignore import error when loading sglang.srt.models.x: ",
    "python -m sglang.launch_server \\",
    "server_args=ServerArgs(a='",
    "Name: x",
    "NCCL WARN",
]


def check(data: bytes) -> None:
    lines = data.count(b"\n") + 1
    found = events(data)
    assert [event.order for event in found] == list(range(len(found)))
    for event in found:
        assert event.kind in KINDS
        assert 1 <= event.line <= lines
        assert event.line <= event.end <= lines
        assert len(event.text) < 20_000
        assert "\x1b" not in event.text
        assert "\r" not in event.text


@given(st.binary(max_size=3000))
@settings(max_examples=150, deadline=None)
@example(b"\x1f\x8b\x08\x00 not packed at all")
def test_any_bytes(data: bytes) -> None:
    packed = data.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd"))
    with contextlib.suppress(InputError) if packed else contextlib.nullcontext():
        check(data)


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=60))
@settings(max_examples=150, deadline=None)
def test_any_mixture_of_parts_of_logs(parts: list[str]) -> None:
    check("\n".join(parts).encode())


@given(st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=40)), max_size=40))
@settings(max_examples=100, deadline=None)
def test_line_ends_make_no_difference(parts: list[str]) -> None:
    text = "\n".join(part.replace("\r", " ").replace("\n", " ") for part in parts)
    data = text.encode("utf-8", "replace")
    assert events(data) == events(data.replace(b"\n", b"\r\n"))


@given(st.lists(st.sampled_from(FRAGMENTS), min_size=1, max_size=30))
@settings(max_examples=60, deadline=None)
def test_reading_backwards_does_not_crash(parts: list[str]) -> None:
    check("\n".join(f"2025-04-25T03:49:43.{999 - i:03}Z {part}" for i, part in enumerate(parts)).encode())


@pytest.mark.skipif(not SHARED.exists(), reason="the corpus of real logs is not beside the checkout")
def test_captured_runs_give_their_last_exception() -> None:
    seen = 0
    for case in sorted((SHARED / "captured").glob("*/case.json")):
        for command in json.loads(case.read_text(encoding="utf-8")).get("commands", {}).values():
            last = command.get("last", "")
            path = case.parent / command.get("file", "?")
            if not path.exists() or "Error: " not in last.split(" ")[0] + " ":
                continue
            seen += 1
            assert exceptions(path.read_bytes())[-1].text.startswith(last[:150]), path
    assert seen > 10


@pytest.mark.skipif(not SHARED.exists(), reason="the corpus of real logs is not beside the checkout")
def test_pasted_logs_are_read_and_their_last_exceptions_found() -> None:
    seen = 0
    for path in sorted((SHARED / "corpus").glob("dev-*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            log = json.loads(line)["log"]
            result = reading(log)
            assert result.facts.known("log")
            ends = [
                text
                for text in log.splitlines()
                if text.startswith(("RuntimeError: ", "ValueError: ", "ImportError: /"))
            ]
            if ends:
                seen += 1
                assert any(
                    event.text.startswith(ends[-1].rstrip()) for event in result.events if event.kind == "exception"
                )
    assert seen > 20
