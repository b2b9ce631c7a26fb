"""Source lines of tracebacks: which releases have them where they were seen."""

from __future__ import annotations

from sgldoctor.derive import telling
from sgldoctor.events import Event, Frame
from sgldoctor.facts import Facts
from sgldoctor.knowledge.sources import Place, fitting, function, place

LIBRARY = "/opt/venv/lib/python3.12/site-packages/"
SEEN = [
    Frame(
        f"{LIBRARY}sglang/srt/managers/scheduler.py", 3169, "run_scheduler_process", "scheduler.event_loop_overlap()"
    ),
    Frame(f"{LIBRARY}torch/utils/_contextlib.py", 120, "decorate_context", "return func(*args, **kwargs)"),
    Frame(
        f"{LIBRARY}sglang/srt/managers/scheduler.py", 1165, "event_loop_overlap", "batch_result = self.run_batch(batch)"
    ),
    Frame(
        f"{LIBRARY}sglang/srt/managers/scheduler.py",
        2368,
        "run_batch",
        "batch_result = self.model_worker.forward_batch_generation(",
    ),
    Frame(
        f"{LIBRARY}sglang/srt/managers/tp_worker.py",
        456,
        "forward_batch_generation",
        "out = self.model_runner.forward(",
    ),
]
"""The way of a batch through the wheel of 0.5.9."""


def traceback(frames: list[Frame], text: str = "ZeroDivisionError: division by zero") -> Event:
    return Event("exception", text, 1, 0, type=text.partition(":")[0], frames=tuple(frames))


def test_lines_pin_the_release() -> None:
    places = [found for frame in SEEN if (found := place(frame))]
    assert len(places) == 4, "torch's frame is none of ours"
    assert fitting(places)[0] == ["0.5.9"]


def test_a_shifted_file_fits_no_release() -> None:
    places = [Place(found.file, found.line + 3, found.code) for frame in SEEN if (found := place(frame))]
    assert fitting(places)[0] == []


def test_few_lines_tell_nothing() -> None:
    places = [found for frame in SEEN[:3] if (found := place(frame))]
    assert fitting(places)[0] == []


def test_files_that_nobody_knows_are_left_aside() -> None:
    assert fitting([Place("managers/no_such_file.py", 3, "something()")]) == ([], [])


def test_a_source_tree_and_a_line_without_text() -> None:
    frame = Frame("/sgl-workspace/sglang/python/sglang/srt/managers/scheduler.py", 7, "run_batch", "x = first(batch)")
    assert place(frame) == Place("managers/scheduler.py", 7, "x = first(batch)")
    assert place(frame._replace(code="")) is None


def test_when_a_function_came() -> None:
    assert function("managers/scheduler.py", "pause_generation") == (("0.5.6", "0.5.23"),)
    assert function("managers/scheduler.py", "no_such_function") == ()
    assert function("no/such/file.py", "main") == ()


def test_the_release_of_a_log_is_told_by_its_lines() -> None:
    facts = Facts()
    telling.releases(facts, [traceback(SEEN)])
    row = facts.rows("log.releases")[0]
    assert (row["range"], row["among"], row["by"]) == ("0.5.9", ["0.5.9"], "lines")
    assert row["because"] == ["4 source lines of managers/scheduler.py, managers/tp_worker.py"]


def test_a_release_that_is_known_is_not_told_again() -> None:
    facts = Facts()
    facts.put("sglang", {"version": "0.5.8"}, "log")
    telling.releases(facts, [traceback(SEEN)])
    assert not facts.known("log.releases")


def test_flags_narrow_what_the_texts_leave_open() -> None:
    """--enable-eplb is older than --cuda-graph-backend-prefill, which came with 0.5.14."""
    text = "RuntimeError: Weight input_size_per_partition = 9472 is not divisible by weight quantization block_k = 128."
    said = traceback([], text)
    refused = Event("usage", "launch_server.py: error: unrecognized arguments: --x", 1, 1)
    for events, first in (([said], "0.5.14"), ([said, refused], None)):
        facts = Facts()
        facts.put("launch.option", {"flag": "--cuda-graph-backend-prefill", "value": "disabled"}, "log")
        telling.releases(facts, events)
        assert facts.value("log.releases", "first") == first


def test_a_log_that_names_its_release_is_not_inferred() -> None:
    facts = Facts()
    facts.put("sglang", {"version": "0.5.8"}, "log")
    telling.releases(facts, [traceback(SEEN)])
    assert not facts.known("log.releases")


def test_what_python_says_itself_tells_no_release() -> None:
    facts = Facts()
    telling.releases(facts, [traceback([], "AttributeError: 'Thing' object has no attribute 'other'")])
    assert not facts.rows("log.releases")


def test_texts_of_two_releases_in_one_log_tell_nothing() -> None:
    """0.5.9 changed the address in Mooncake's advice."""
    tail = " to run SGLang with MooncakeTransferEngine."
    begin = "RuntimeError: Please install mooncake by following the instructions at https://"
    old = f"{begin}github.com/kvcache-ai/Mooncake/blob/main/doc/en/build.md{tail}"
    new = f"{begin}kvcache-ai.github.io/Mooncake/getting_started/build.html{tail}"
    for texts, found in (([old], True), ([new], True), ([old, new], False)):
        facts = Facts()
        telling.releases(facts, [traceback([], text) for text in texts])
        assert bool(facts.rows("log.releases")) is found
