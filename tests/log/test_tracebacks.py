from __future__ import annotations

import asyncio
import sys
import traceback

import pytest

from tests.log.texts import (
    KERNEL_BLOCK,
    bare_assertion,
    chained_traceback,
    events,
    exceptions,
    plain_traceback,
    said,
)


def test_a_real_traceback_gives_type_message_and_frames() -> None:
    (event,) = exceptions(plain_traceback())
    assert (event.type, event.text, event.chain, event.depth) == ("ValueError", "ValueError: bad value", -1, 0)
    assert [frame.function for frame in event.frames] == ["plain_traceback", "_inner"]
    assert event.frames[-1].code == "raise ValueError(message)"
    assert event.frames[-1].file.endswith("texts.py")


@pytest.mark.parametrize("explicit", [True, False])
def test_of_a_chain_the_first_printed_is_the_inner_cause(explicit: bool) -> None:
    inner, outer = exceptions(chained_traceback(explicit=explicit))
    assert (inner.text, inner.depth) == ("ValueError: first", 0)
    assert (outer.type, outer.depth) == ("SomeError", 1)
    assert outer.text.endswith("SomeError: second\nwith another line")
    assert inner.chain == outer.chain >= 0


def test_two_chains_have_different_numbers() -> None:
    chain = chained_traceback(explicit=True)
    first, _, third, _ = exceptions(chain + "\n[2025-06-04 16:47:33] in between\n" + chain)
    assert first.chain != third.chain


def test_a_bare_assertion_carries_its_source_line() -> None:
    (event,) = exceptions(bare_assertion())
    assert event.text == "AssertionError: assert heads % size == 0"


def test_a_name_alone_has_no_message_that_could_go_on() -> None:
    """Python writes no colon where there is none; what follows is of somebody else, be it across a blank line."""
    for gap in ("\n", "\n\n"):
        (event,) = exceptions(bare_assertion().rstrip() + gap + "words of another program\n")
        assert "another program" not in event.text
        assert event.text.startswith("AssertionError: assert")


@pytest.mark.skipif(sys.version_info < (3, 11), reason="exception groups came with Python 3.11")
def test_parts_of_a_group_are_its_inner_causes() -> None:
    async def main() -> None:
        async def fail(error: Exception) -> None:
            raise error

        async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined, unused-ignore]
            group.create_task(fail(ValueError("one")))
            group.create_task(fail(TypeError("two")))

    try:
        asyncio.run(main())
    except BaseException:  # noqa: BLE001
        text = traceback.format_exc()
    whole, one, two = exceptions(text)
    assert (one.text, two.text) == ("ValueError: one", "TypeError: two")
    assert {whole.chain} == {one.chain, two.chain}
    assert whole.depth > max(one.depth, two.depth)


def test_the_kernel_loader_block_is_one_event_with_its_bullets() -> None:
    after = "\n(.venv) $ find . -name libnvrtc*\n./libnvrtc.so.13\n"
    for head in ("ImportError: \n", "ImportError:\n", ""):
        (event,) = exceptions(head + KERNEL_BLOCK + after)
        assert event.type == "ImportError"
        assert "libnvrtc.so.12: cannot open shared object file" in event.text
        assert event.text.endswith("No module named 'common_ops'")
        assert "find" not in event.text


def test_a_swallowed_import_is_a_warning_even_with_the_whole_block() -> None:
    text = f"[2025-06-04 16:47:33] Ignore import error when loading sglang.srt.models.some: \n{KERNEL_BLOCK}"
    found = events(text + "[2025-06-04 16:47:34] go on\n")
    assert [event.kind for event in found] == ["warning", "line"]
    assert "libnvrtc.so.12" in found[0].text


def test_a_traceback_without_its_end_says_where_it_stops() -> None:
    lines = plain_traceback().splitlines()
    (event,) = exceptions("\n".join(lines[:-1]))
    assert event.type == ""
    assert "_inner" in event.text
    assert "raise ValueError(message)" in event.text
    assert len(event.frames) == 2


def test_a_traceback_without_its_head_is_read() -> None:
    lines = plain_traceback().splitlines()
    (event,) = exceptions("\n".join(lines[1:]))
    assert (event.text, len(event.frames)) == ("ValueError: bad value", 2)


def test_a_traceback_without_indentation_is_read() -> None:
    (event,) = exceptions("\n".join(line.strip() for line in plain_traceback().splitlines()))
    assert (event.text, len(event.frames)) == ("ValueError: bad value", 2)
    assert event.frames[-1].code == "raise ValueError(message)"


def test_an_elided_traceback_is_one_event() -> None:
    lines = plain_traceback().splitlines()
    for dots in ("  ...", "...", "[...]", "    ...<6 lines>...", "  [Previous line repeated 993 more times]"):
        (event,) = exceptions("\n".join([*lines[:-1], dots, lines[-1]]))
        assert event.text == "ValueError: bad value"


def test_the_assert_of_a_frame_that_was_cut_out_counts() -> None:
    (event,) = exceptions(
        '  File "/x/parallel.py", line 3, in divide\n    ensure(\nassert numerator % denominator == 0\n'
    )
    assert event.text == "AssertionError: assert numerator % denominator == 0"
    assert [frame.function for frame in event.frames] == ["divide"]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "OutOfMemoryError"),
        ("zmq.error.ZMQError: Address already in use", "ZMQError"),
        ("nixl._bindings.nixlBackendError: NIXL_ERR_BACKEND", "nixlBackendError"),
        ("triton.runtime.errors.OutOfResources: out of resource: shared memory, Required: 1", "OutOfResources"),
        ("torch._dynamo.exc.Unsupported: call_function", "Unsupported"),
        ("Exception: Capture cuda graph failed: x", "Exception"),
        ("subprocess.TimeoutExpired: Command 'x' timed out", "TimeoutExpired"),
        ("KeyError: 'a.b.c'", "KeyError"),
        ("EOFError", "EOFError"),
        ("KeyboardInterrupt", "KeyboardInterrupt"),
        ("- `ImportError: libcuda.so.1: cannot open shared object file`", "ImportError"),
        ("2025-07-12 08:05:15 | ERROR | stderr | ValueError: glued", "ValueError"),
        ("[2025-06-04 16:47:33 TP0] RuntimeError: glued", "RuntimeError"),
    ],
)
def test_a_last_line_alone_is_an_exception(line: str, name: str) -> None:
    (event,) = exceptions(line)
    assert event.type == name


@pytest.mark.parametrize(
    "line",
    [
        "Ignore import error when loading sglang.srt.models.some: No module named 'some'",
        "[2025-06-04 16:47:33 TP0] Ignore import error when loading sglang.srt.models.some: ValueError: x",
        "Error: No module named 'x'",
        "/site-packages/x/errors/ValueError.py",
        "Total errors: 0",
        "Mean absolute Error   : 0.12",
        "    raise ImportError(error_msg)",
        "2025-01-01 10:00:00,123 - app - INFO - ValueError: handled",
        "/x/y.py:12: UserWarning: something",
        "FutureWarning: something else",
        "Timeout: 30",
        "Python: 3.10.12 (main, Nov 20 2023, 15:14:05) [GCC 11.4.0]",
    ],
)
def test_what_only_looks_like_an_exception_is_none(line: str) -> None:
    assert exceptions(line) == []


def test_the_quoted_raise_in_a_traceback_is_code_and_no_event() -> None:
    found = said(plain_traceback())
    assert found == [("exception", "ValueError: bad value")]


def test_messages_go_on_until_something_else_begins() -> None:
    text = (
        "RuntimeError: Prefill out of memory. Try to lower your batch size.\n"
        "Try to allocate 8192 tokens.\n"
        "[2025-06-04 16:47:33] Received sigquit from a child process. It usually means the child failed.\n"
    )
    (event,) = exceptions(text)
    assert event.text.endswith("8192 tokens.")
    assert event.end == 2


@pytest.mark.parametrize(
    "after",
    [
        "$ ls",
        "(venv) me@host:~/x$ ls",
        ">>> import torch",
        "KeyError: 'x'",
        "Killed",
        "usage: x [-h]",
        "\nPython: 3.10.12 (main, Nov 20 2023)",
        "[pip3] numpy==1.26.4",
        "node-0:12:13 [0] NCCL WARN x",
        "E0917 16:23:13.204995 4058290 worker_pool.cpp:294] x",
    ],
)
def test_what_begins_anew_does_not_belong_to_the_message(after: str) -> None:
    first = exceptions(f"ValueError: a message\n{after}\n")[0]
    assert first.text == "ValueError: a message"


def test_a_message_is_bounded() -> None:
    (event,) = exceptions("ValueError: many\n" + "more of it, and more, and more\n" * 5000)
    assert len(event.text) < 12_000
    assert event.end == 5001


def test_native_stacks_are_left_out() -> None:
    text = (
        "torch.AcceleratorError: CUDA error: device-side assert triggered\n"
        "Exception raised from c10_cuda_check at x.cpp:43 (most recent call first):\n"
        "frame #0: c10::Error::Error(std::string) + 0x96 (0x7f in libc10.so)\n"
        "frame #1: <unknown function> + 0x16daa1c (0x7f6077cdaa1c in libtorch_cpu.so)\n"
    )
    assert said(text) == [("exception", "torch.AcceleratorError: CUDA error: device-side assert triggered")]


def test_terminate_gives_the_cpp_type_and_what() -> None:
    text = (
        "terminate called after throwing an instance of 'c10::DistBackendError'\n"
        "  what():  [Rank 3] Process group watchdog thread terminated with exception: CUDA error\n"
        "frame #0: foo\n\nAborted (core dumped)\n"
    )
    exception, death = events(text)
    assert (exception.kind, exception.type) == ("exception", "DistBackendError")
    assert "watchdog thread terminated" in exception.text
    assert death.kind == "exit"


def test_a_fatal_python_error_keeps_the_current_threads_frames() -> None:
    text = (
        "Fatal Python error: Segmentation fault\n\n"
        "Current thread 0x00007f06 (most recent call first):\n"
        '  File "/x/scheduler.py", line 500 in recv\n'
        '  File "/x/scheduler.py", line 600 in run\n\n'
        "Thread 0x00007f05 (most recent call first):\n"
        '  File "/usr/lib/python3.10/threading.py", line 324 in wait\n\n'
        "Extension modules: numpy.core._multiarray_umath (total: 99)\n"
        "Segmentation fault (core dumped)\n"
    )
    fatal, death = events(text)
    assert fatal.kind == "exit"
    assert [frame.function for frame in fatal.frames] == ["run", "recv"]
    assert death.text == "Segmentation fault (core dumped)"


def test_a_worker_processs_traceback_is_the_inner_cause() -> None:
    text = (
        "multiprocessing.pool.RemoteTraceback: \n"
        '"""\nTraceback (most recent call last):\n  File "/x/pool.py", line 125, in worker\n    f()\nValueError: bad\n"""\n\n'  # noqa: E501
        "The above exception was the direct cause of the following exception:\n\n"
        'Traceback (most recent call last):\n  File "/x/main.py", line 4, in <module>\n    p.map(f, [1])\nValueError: bad\n'  # noqa: E501
    )
    inner, outer = exceptions(text)
    assert (inner.depth, outer.depth, inner.line, outer.line) == (0, 1, 6, 14)


def test_what_ray_wraps_is_the_inner_cause() -> None:
    text = (
        "ray.exceptions.RayTaskError(ValueError): ray::WorkerDict.init() (pid=123, ip=10.0.0.1)\n"
        '  File "/app/w.py", line 44, in init\n    self.engine = Engine()\n'
        "ValueError: The memory capacity is unbalanced.\n"
    )
    wrapper, inner = exceptions(text)
    assert (wrapper.type, wrapper.depth, inner.depth) == ("RayTaskError", 1, 0)
    assert wrapper.chain == inner.chain


def test_exceptions_that_python_ignored_are_warnings() -> None:
    text = "Exception ignored in: <function Foo.__del__ at 0x7f>\n" + plain_traceback()
    assert [event.kind for event in events(text)] == ["warning", "warning"]


def test_compiler_lines_inside_a_message_are_events_too() -> None:
    text = (
        "RuntimeError: Ninja build failed. Ninja output:\n[1/4] nvcc -c x.cu\nFAILED: x.cuda.o \n"
        "x.cu:12:10: fatal error: cuda_fp4.h: No such file or directory\n"
        "/bin/sh: 1: /nonexistent/bin/nvcc: not found\nninja: build stopped: subcommand failed.\n"
    )
    kinds = [event.kind for event in events(text)]
    assert kinds == ["exception", "compiler", "compiler", "error", "compiler"]


def test_a_traceback_in_one_line_is_read() -> None:
    lines = plain_traceback().rstrip().split("\n")
    escaped = '{"level":"error","msg":"' + "\\n".join(lines).replace('"', '\\"') + '"}'
    for text in (escaped, "boom: " + "\\n".join(lines)):
        event = exceptions(text)[0]
        assert event.text == "ValueError: bad value"
        assert [frame.function for frame in event.frames] == ["plain_traceback", "_inner"]
    blanks = exceptions(" ".join(line.strip() for line in lines if not set(line) <= set(" ~^")))
    assert blanks[0].text == "ValueError: bad value"


def test_dumps_of_py_spy_are_no_tracebacks() -> None:
    text = 'Thread 309 (active): "MainThread"\n    verify (eagle_info.py:259)\n    run (threading.py:1012)\n'
    assert {event.kind for event in events(text)} == {"line"}


def test_a_notebooks_traceback_is_read() -> None:
    text = (
        "---------------------------------------------------------------------------\n"
        "RuntimeError                              Traceback (most recent call last)\n"
        "Cell In[3], line 4\n      2 \n      3 import os\n----> 4 llm = make()\n\n"
        "File /x/site-packages/sglang/api.py:45, in Engine(*args, **kwargs)\n     44 \n---> 45 return Engine(*args)\n\n"
        "[/x/site-packages/sglang/engine.py](https://localhost:8080/#) in __init__(self)\n---> 99 self.start()\n\n"
        "RuntimeError: Initialization failed.\n"
    )
    (event,) = [event for event in events(text) if event.kind != "line"]
    assert event.text == "RuntimeError: Initialization failed."
    assert [(frame.function, frame.code) for frame in event.frames] == [
        ("<module>", "llm = make()"),
        ("Engine", "return Engine(*args)"),
        ("__init__", "self.start()"),
    ]


def test_frames_that_lost_their_beginning_are_frames() -> None:
    text = (
        '    ~/site-packages/sglang/api.py", line 45, in Engine\n    return Engine(*args)\n'
        '"python3.12/connection.py" line 399, in _recv\n    raise EOFError\nEOFError\n'
    )
    (event,) = exceptions(text)
    assert (event.text, [frame.function for frame in event.frames]) == ("EOFError", ["Engine", "_recv"])


def test_a_chain_marker_binds_only_what_is_near() -> None:
    marker = "During handling of the above exception, another exception occurred:\n\n"
    text = plain_traceback("far") + "[2025-06-04 16:47:33] serving\n" * 300 + marker + plain_traceback("second")
    first, second = exceptions(text)
    assert (first.chain, second.depth) == (-1, 1)


def test_a_traceback_that_rich_drew_is_read() -> None:
    text = (
        "╭───────────── Traceback (most recent call last) ──────────────╮\n"
        "│ /x/site-packages/x/cli.py:12 in main                         │\n"
        "│                                                              │\n"
        "│    9 def main():                                             │\n"
        "│ ❱ 12     run()                                               │\n"
        "│                                                              │\n"
        "│ /x/site-packages/x/core.py:99 in run                         │\n"
        '│ ❱ 99     raise ValueError("x")                               │\n'
        "╰──────────────────────────────────────────────────────────────╯\n"
        "ValueError: x is bad\n"
    )
    (event,) = events(text)
    assert event.text == "ValueError: x is bad"
    assert [(frame.function, frame.line, frame.code) for frame in event.frames] == [
        ("main", 12, "run()"),
        ("run", 99, 'raise ValueError("x")'),
    ]
