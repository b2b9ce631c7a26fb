from __future__ import annotations

import io
import random
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sgldoctor.log import engine_py, search
from sgldoctor.log.document import clean
from sgldoctor.log.events import events
from sgldoctor.log.keeper import KEPT
from sgldoctor.log.literals import finder, without
from sgldoctor.log.pieces import LONG
from tests.log.texts import plain_traceback, reading

ANCHORS = (b"Failed to register memory", b"out of memory", b"EADDRINUSE")


def serving(count: int, begin: int = 0) -> list[str]:
    """Lines of a server at work: endless, and all alike."""
    return [
        f"[2026-01-29 10:{i // 60 % 60:02}:{i % 60:02} TP{i % 8}] Decode batch. #running-req: {i % 97}, #token: {i * 7919 % 99991}"  # noqa: E501
        for i in range(begin, begin + count)
    ]


def large() -> tuple[bytes, dict[int, str]]:
    """A log of 2 MB with a few failures, and the line numbers of these."""
    lines = serving(20_000)
    truth: dict[int, str] = {}
    for at, text in (
        (3_000, "zmq.error.ZMQError: EADDRINUSE here"),
        (9_001, "torch.OutOfMemoryError: CUDA out of memory"),
    ):
        block = [*plain_traceback().rstrip().split("\n")[:-1], text]
        lines[at:at] = block
        truth[at + len(block)] = text
    lines[15_000] = "W0129 10:06:27.604085   3472 rdma.cpp:166] RdmaTransport: Failed to register memory: addr 0x7f"
    truth[15_001] = "Failed to register memory"
    return "\n".join(lines).encode() + b"\n", truth


def selected(data: bytes, size: int) -> search.Selection:
    return search.select((data[at : at + size] for at in range(0, len(data), size)), ANCHORS)


def test_failures_in_a_large_log_are_found_at_their_lines() -> None:
    data, truth = large()
    result = reading(data, ANCHORS)
    row = result.facts.one("log")
    assert (row["lines"], row["bytes"], row["truncated"]) == (data.count(b"\n"), len(data), True)
    for line, text in truth.items():
        (event,) = [event for event in result.events if event.line == line]
        assert text in event.text
    assert [len(event.frames) for event in result.events if event.kind == "exception"] == [2, 2]


def test_beginning_and_end_of_a_large_log_are_kept() -> None:
    lines = serving(20_000)
    lines[0], lines[-1] = "the very first", "the very last"
    texts = [event.text for event in reading("\n".join(lines)).events]
    assert (texts[0], texts[-1]) == ("the very first", "the very last")
    assert len(texts) < 3000


@pytest.mark.parametrize("size", [1 << 10, 3 << 10, 7 << 10, 100_003])
def test_the_size_of_blocks_makes_no_difference(size: int) -> None:
    data, _ = large()
    assert selected(data, size) == selected(data, 256 << 10)


def test_windows_line_ends_make_no_difference() -> None:
    data, _ = large()
    plain, windows = selected(data, 1 << 16), selected(data.replace(b"\n", b"\r\n"), 1 << 16)
    same = [
        [(e.kind, e.text, e.line) for e in events(clean(s.lines), "-") if e.kind != "line"] for s in (plain, windows)
    ]
    assert same[0] == same[1]


def test_a_flood_is_kept_a_few_times_only() -> None:
    flood = [
        f"E0129 10:06:27.{i:06}   3472 rdma.cpp:166] Failed to register memory: addr 0x{i:x}" for i in range(40_000)
    ]
    kept = search.select([("\n".join([*serving(2000), *flood, *serving(2000)])).encode()], ANCHORS)
    assert sum(b"Failed to register" in line for _, line in kept.lines) <= engine_py.REPEATS + 1


def test_ever_new_failures_stay_within_bounds() -> None:
    words = ["alpha", "omega", "zulu", "kilo", "tango", "whisky", "golf", "hotel", "yankee", "sierra"]
    lines = (f"{' '.join(words[int(d)] for d in str(i))} RuntimeError: {i}" for i in range(100_000, 190_000))
    kept = search.select([(line + "\n").encode() for line in lines], ANCHORS)
    assert sum(len(line) for _, line in kept.lines) < 3 * KEPT


def test_errors_inside_a_line_of_many_megabytes_are_found_in_constant_memory() -> None:
    dump = b"token=1, " * (1 << 20)  # 9 MB
    pieces = [dump[at : at + (1 << 18)] for at in range(0, len(dump), 1 << 18)]
    stream = [*pieces, b"RuntimeError: CUDA out of memory, says a dump; ", *pieces, b"\nlast line\n"]
    tracemalloc.start()
    kept = search.select(stream, ANCHORS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 << 20
    assert any(number == 1 and b"CUDA out of memory" in line for number, line in kept.lines)
    assert kept.lines[-1] == (2, b"last line")
    assert max(len(line) for _, line in kept.lines) <= LONG


def test_what_stands_far_right_in_a_line_is_in_some_event() -> None:
    line = '{"text": "' + "word " * 2500 + "EADDRINUSE " + "word " * 200 + '"}'
    assert any("EADDRINUSE" in event.text for event in reading(line, ANCHORS).events)


def test_a_dump_of_arguments_is_read_whole() -> None:
    fields = ", ".join(f"field_{i}='{i}'" for i in range(1200))
    text = f"[2025-02-24 19:26:02] server_args=ServerArgs({fields})\n"
    assert len(text) > 2 * LONG
    assert len(reading(text, ANCHORS).facts.rows("launch.option")) == 1000


def test_a_progress_bar_of_megabytes_is_cut_at_its_redraws() -> None:
    bar = b"".join(b"Loading: %d%%|##| %d/9 [00:01<00:09, 1.0it/s]\r" % (i % 100, i) for i in range(40_000))
    data = bar + b"ptxas fatal   : EADDRINUSE of sorts\r" + bar + b"\n"
    assert len(data) > search.WHOLE
    found = [event for event in reading(data, ANCHORS).events if event.kind == "compiler"]
    assert [event.text for event in found] == ["ptxas fatal   : EADDRINUSE of sorts"]


def test_a_long_line_of_a_small_log_is_cut_round_its_anchors() -> None:
    data = b"x" * 100_000 + b" EADDRINUSE " + b"y" * 100_000
    kept = search.select([data], ANCHORS)
    assert kept.whole
    assert all(number == 1 for number, _ in kept.lines)
    assert any(b"EADDRINUSE" in line for _, line in kept.lines)
    assert sum(len(line) for _, line in kept.lines) < 20_000


def test_another_engine_can_be_handed_in() -> None:
    data, _ = large()

    def every(block: bytes) -> list[int]:
        return [at for at in range(len(block)) if block.startswith(b"EADDRINUSE", at)] if b"EADDRINUSE" in block else []

    kept = search.select(io.BytesIO(data), ANCHORS, engine=every)
    assert any(b"EADDRINUSE" in line for _, line in kept.lines)
    assert not any(b"OutOfMemoryError" in line for _, line in kept.lines)


def test_keys_are_found_by_the_words_inside_them() -> None:
    keys = [
        b" cannot open shared object",
        b"undefined symbol",
        b"one two three",
        b"xy",
        b"-lcuda",
        b"]: ",
        b"so: c",
        b"y; l",
        b"no no",
    ]
    present = finder(keys)
    text = b"zone two threes; libx.so: cannot open shared object file; axyb; ld: -lcudart [x]: n no"
    assert sorted(present(text)) == sorted(key for key in keys if key in text)


@pytest.mark.parametrize(
    "text", ["Error: " * 150_000, "(" * 1_000_000, '  File "' * 130_000, "a" * 2_000_000, "~^" * 500_000]
)
def test_hostile_text_takes_linear_time(text: str) -> None:
    begin = time.process_time()
    reading(text, ANCHORS)
    reading(text[:400_000], ANCHORS)
    reading("\n".join(text[at : at + 3000] for at in range(0, 400_000, 3000)), ANCHORS)
    reading("\n".join(text[at : at + 30_000] + " x" for at in range(0, 300_000, 30_000)), ANCHORS)
    assert time.process_time() - begin < 5


@given(st.lists(st.text("ab1 :", min_size=1, max_size=6), max_size=8), st.text("ab1 :\n", max_size=60))
def test_no_key_is_missed(keys: list[str], text: str) -> None:
    wanted = [key.encode() for key in dict.fromkeys(keys)]
    data = text.encode()
    assert sorted(finder(wanted)(data)) == sorted(key for key in wanted if key in data)


def test_a_shape_that_often_lacks_the_anchor_is_not_given_up() -> None:
    lines = serving(12_000)
    for at in range(3_000, 4_000):
        lines[at] = f"CUDA status 7{at % 10}0 of a device"
    lines[9_000] = "CUDA status 802 of a device"
    kept = search.select([("\n".join(lines)).encode()], (b"CUDA status 802",))
    assert any(line == b"CUDA status 802 of a device" for _, line in kept.lines)


def test_what_users_write_does_not_take_the_room_of_a_failure() -> None:
    rng = random.Random(5)
    words = "how do I cure a CUDA out of memory error when the version of EADDRINUSE is undefined in my model".split()
    lines = serving(30_000)
    for at in range(0, 30_000, 3):
        said = " ".join(rng.choice(words) for _ in range(rng.randrange(60, 160)))
        lines[at] = f"[2026-01-29 10:00:00] Receive: obj=GenerateReqInput(rid='{at}', text='{said} out of memory')"
    lines[20_000] = "[2026-01-29 10:00:00 TP0] Scheduler hit an exception: Traceback (most recent call last):"
    lines[20_001] = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    data = "\n".join(lines).encode()
    assert len(data) > 5 << 20
    found = search.select((data[at : at + 65_536] for at in range(0, len(data), 65_536)), ANCHORS)
    assert 20_002 in {number for number, _ in found.lines}
    assert sum(len(line) for _, line in found.lines) < KEPT


def test_texts_without_parts_are_told_one_by_one() -> None:
    texts = [b"an Error: here", b"Err", b"or", b"", b"two fatal, fatal errors"]
    assert without(texts, [b"Error", b"fatal"]) == [b"Err", b"or", b""]
    assert without([], [b"x"]) == []
    assert without(texts, []) == texts


def test_a_large_text_holds_what_its_letters_spell() -> None:
    present = finder([b"NCCL", b"802", b"out of memory"])
    numbers = b"1234 8025 " * 20_000
    assert present(numbers) == [b"802"]
    assert sorted(present(numbers + b"xNCCLx")) == [b"802", b"NCCL"]


def test_a_progress_bar_of_megabytes_keeps_what_stands_between_its_steps() -> None:
    steps = [f"Loading: {step % 100}% {step}/90000 [00:{step % 60:02}<00:10]" for step in range(90_000)]
    steps[45_000] = "RuntimeError: CUDA out of memory in the middle"
    data = "\r".join(steps).encode() + b"\n"
    assert len(data) > 3 << 20
    kept = search.select([data[at : at + 65_536] for at in range(0, len(data), 65_536)], ANCHORS)
    assert any(b"CUDA out of memory in the middle" in line for _, line in kept.lines)
    assert kept.lines[0][1].startswith(b"Loading: 0% 0/90000")
    assert sum(len(line) for _, line in kept.lines) < 100_000
