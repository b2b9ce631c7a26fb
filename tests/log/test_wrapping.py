"""Whatever a collector or a logger puts before the lines, the same exceptions come out."""

from __future__ import annotations

import itertools

import pytest

from sgldoctor.log.document import clean
from sgldoctor.log.lines import Line, peel, scrub
from tests.log.texts import KERNEL_BLOCK, bare_assertion, chained_traceback, events, exceptions, plain_traceback

WRAPPINGS = {
    "compose": "sglang-1  | {}",
    "compose padded": "deepseek-v4-1-1     | {}",
    "compose in brackets": "[sglang]     | {}",
    "kubernetes": "2025-08-08T23:14:50.217488644+08:00 stdout F {}",
    "kubernetes stderr": "2025-08-08T23:14:50.217488644Z stderr F {}",
    "time": "2025-08-08T23:14:50.217488644Z {}",
    "jenkins": "[2025-11-15T02:43:02.702Z] {}",
    "google cloud": "ERROR 2025-04-25T03:49:43.509514570Z {}",
    "journal": "Jan 29 10:00:00 node-0 sglang[4711]: {}",
    "torchrun": "[rank3]: {}",
    "elastic": "[default0]:{}",
    "mpi": "[1,3]<stderr>:{}",
    "ray": "(WorkerDict pid=42992, ip=10.77.125.57) {}",
    "ray coloured": "\x1b[36m(SGLangEngine pid=42992)\x1b[0m {}",
    "ray dead colours": "[36m(SGLangEngine pid=42992)[0m {}",
    "vllm": "(EngineCore_DP0 pid=272) ERROR 09-10 07:25:46 [core.py:718] {}",
    "vllm old": "ERROR 12-19 01:22:33 engine.py:366] {}",
    "loguru": "2025-07-12 08:05:16 | ERROR | stderr | {}",
    "logging": "2025-07-12 08:05:16,123 - __main__ - INFO - {}",
    "logging without time": "... - __main__ - INFO - {}",
    "buildkit": "#14 17.66 {}",
    "ray under a time": "[2026-03-12 11:50:36] (TaskRunner pid=3483799) {}",
    "srun": "3: {}",
    "pod": "[pod/sglang-0/main] {}",
    "quote": "> {}",
    "quote of jenkins": "> [2025-11-15T02:43:02.702Z] {}",
    "nested": "sglang-1  | 2025-08-08T23:14:50.2Z (WorkerDict pid=42992, ip=10.7.1.5) {}",
    "carriage return": "{}\r",
    "coloured": "\x1b[31m{}\x1b[0m",
    "box": "│ {} │",
    "indented": "    {}",
    "docker json": '{{"log":"{}\\n","stream":"stderr","time":"2025-07-03T04:40:40.1Z"}}',
}
TRACEBACKS = {
    "plain": plain_traceback(),
    "chained": chained_traceback(explicit=True),
    "handled": chained_traceback(explicit=False),
    "assertion": bare_assertion(),
    "kernel": "ImportError: \n" + KERNEL_BLOCK,
}


def wrap(text: str, wrapping: str, name: str) -> str:
    lines = text.rstrip("\n").split("\n")
    if name == "docker json":
        lines = [line.replace("\\", "\\\\").replace('"', '\\"') for line in lines]
    return "\n".join(wrapping.format(line) for line in lines) + "\n"


@pytest.mark.parametrize(("name", "kind"), list(itertools.product(WRAPPINGS, TRACEBACKS)))
def test_wrapped_tracebacks_give_the_same_exceptions(name: str, kind: str) -> None:
    if kind == "kernel" and "INFO" in WRAPPINGS[name]:
        pytest.skip("a lone exception at level INFO was handled by somebody")
    plain = exceptions(TRACEBACKS[kind])
    wrapped = exceptions(wrap(TRACEBACKS[kind], WRAPPINGS[name], name))
    assert [(e.type, e.text, e.frames, e.depth, e.line) for e in wrapped] == [
        (e.type, e.text, e.frames, e.depth, e.line) for e in plain
    ]


@pytest.mark.parametrize("name", ["torchrun", "ray", "mpi", "compose", "elastic", "vllm", "srun"])
def test_interleaved_writers_are_read_apart(name: str) -> None:
    first = wrap(plain_traceback("zero"), WRAPPINGS[name], name).splitlines()
    other = WRAPPINGS[name].replace("rank3", "rank4").replace("42992", "42993").replace("1,3", "1,4")
    other = (
        other.replace("default0", "default1")
        .replace("sglang-1", "sglang-2")
        .replace("272", "273")
        .replace("3: ", "4: ")
    )
    second = wrap(plain_traceback("one"), other, name).splitlines()
    mixed = [line for pair in zip(first, second, strict=True) for line in pair]
    assert [e.text for e in exceptions("\n".join(mixed))] == ["ValueError: zero", "ValueError: one"]


@pytest.mark.parametrize(
    ("raw", "text", "rank", "level"),
    [
        ("[2025-06-04 16:47:33 DP0 TP0] Load weight end.", "Load weight end.", "DP0 TP0", ""),
        ("[05:03:03 TP0] Decode batch.", "Decode batch.", "TP0", ""),
        ("[12-16 14:27:10] Exit code: -9", "Exit code: -9", "", ""),
        ("2025-03-31 04:23:22 TP5] Scheduler hit", "Scheduler hit", "TP5", ""),
        ("[gpu_id=1] Load weight end.", "Load weight end.", "1", ""),
        ("2025-04-17 19:46:42.566927 ERROR    [975] [coro_rpc_client.hpp:978] read failed", "read failed", "", "E"),
        ("854.5 ninja: build stopped", "ninja: build stopped", "", ""),
        ("[TP0] Scheduler hit", "Scheduler hit", "TP0", ""),
        ("[2026-04-05 16:05:24 PP2 TP1 EP1] x", "x", "PP2 TP1 EP1", ""),
        ("[rank10]:[E130 18:11:34.707542570 ProcessGroupGloo.cpp:143] Gloo failed", "ProcessGroupGloo.cpp:143] Gloo failed", "10", "E"),  # noqa: E501
        ("E0917 16:23:13.204995 4058290 worker_pool.cpp:294] x", "worker_pool.cpp:294] x", "", "E"),
        ("host:560:560 [4] net.cc:579 NCCL WARN Error", "net.cc:579 NCCL WARN Error", "", ""),
        ("[2023-12-04 13:25:54,669 W 75 75] (raylet) worker_pool.cc:1279: x", "worker_pool.cc:1279: x", "", "W"),
        ("2024-06-02 15:41:38,149 WARNING worker.py:1419 -- SIGTERM", "SIGTERM", "", "W"),
        ("2024-02-12 19:29:49.967339: E external/x.cc:9261] y", "external/x.cc:9261] y", "", "E"),
        ("[2025-07-03 04:41:17] INFO:     Started server", "Started server", "", "I"),
        ("[2024-12-23 04:49:45] ERROR:    [Errno 98] error", "[Errno 98] error", "", "E"),
        ("[2026-11-23 23:45:07] WARNING common.py:1132: Fail to set", "Fail to set", "", "W"),
        ("2025-11-18T03:36:20.243403Z  INFO kv_events.__init__: Starting", "kv_events.__init__: Starting", "", "I"),
        ("[26002.108918] oom-kill:constraint", "oom-kill:constraint", "", ""),
        ("WARNING:sglang.srt.utils:msg", "msg", "", "W"),
        ("Loading safetensors checkpoint shards:   0% Completed | 0/13", "Loading safetensors checkpoint shards:   0% Completed | 0/13", "", ""),  # noqa: E501
        ("GPU0 | x", "x", "", ""),
        ("    4 | #include <Python.h>", "    4 | #include <Python.h>", "", ""),
        ("|   0  NVIDIA H200                    On  |", "|   0  NVIDIA H200                    On  |", "", ""),
        (">>> import torch", ">>> import torch", "", ""),
    ],
)  # fmt: skip
def test_prefixes_become_attributes(raw: str, text: str, rank: str, level: str) -> None:
    line = peel(raw, 7)
    assert (line.text, line.rank, line.level, line.number) == (text, rank, level, 7)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("undefined symbol in _[C.so](https://x.example/C.so) here", ["undefined symbol in _C.so here"]),
        ("a &lt;module&gt; &amp; b&nbsp;c", ["a <module> & b c"]),
        ("it\u2019s \u201cquoted\u201d", ["it's \"quoted\""]),
        ("**bold** text", ["bold text"]),
        ("func(*args, **kwargs, **more)", ["func(*args, **kwargs, **more)"]),
        ("in <module>", ["in <module>"]),
        ("<details><summary>log</summary>", ["log"]),
        ("10%|█ | 1/10 [00:01<00:09, 1.0it/s]\r20%|██ | 2/10 [00:02<00:08, 1.0it/s]", ["20%|██ | 2/10 [00:02<00:08, 1.0it/s]"]),  # noqa: E501
        ("75%|███ | 3/4 [00:08<00:02,  2.83s/it]Killed", ["75%|███ | 3/4 [00:08<00:02,  2.83s/it]", "Killed"]),
        ("a\x00b\x07c", ["abc"]),
        ("x^M", ["x"]),
    ],
)  # fmt: skip
def test_markup_and_terminal_sequences_go(raw: str, shown: list[str]) -> None:
    assert scrub(raw) == shown


def cleaned(text: str) -> list[Line]:
    return clean(list(enumerate(text.encode().split(b"\n"), 1)))


def test_a_text_of_doubled_lines_is_read_as_one_of_single_lines() -> None:
    doubled = plain_traceback().replace("\n", "\n\n")
    assert exceptions(doubled)[0].frames == exceptions(plain_traceback())[0].frames


def test_words_broken_at_the_width_of_a_terminal_are_joined() -> None:
    broken = "/tmp/tmpaffuvutu/cuda_utils.c:7:10: fatal error: Python.h: No such file or direc"
    assert len(broken) == 80
    (event,) = events(f"{broken}\ntory\n")
    assert (event.kind, event.text[-25:]) == ("compiler", "No such file or directory")


def test_long_lines_cut_at_the_same_column_are_joined() -> None:
    lines = [
        f"[rank{rank}]:[E226 11:16:37 NCCL.cpp:616] [Rank {rank}] Watchdog caught {what}: WorkNCCL(SeqNum=1)"
        for rank, what in ((4, "a time-out of a collective operation"), (5, "collective operation timeout"))
    ]
    wrapped = "\n".join(line[at : at + 90] for line in lines for at in range(0, len(line), 90))
    assert [event.text[-19:] for event in events(wrapped)] == [" WorkNCCL(SeqNum=1)"] * 2


def test_one_line_of_several_ranks_is_no_wrapping() -> None:
    text = (
        "".join(f"[2025-06-04 16:47:33 TP{rank}] {'some message ' * 7}at the end\n" for rank in range(2))
        + "lower case\n"
    )
    assert len(events(text)) == 3


def test_lines_that_merely_have_equal_length_are_not_joined() -> None:
    message = "x" * 90
    text = f"[2025-06-04 16:47:33 TP0] {message}\n[2025-06-04 16:47:33 TP1] {message}\nnode-0:1:2 [0] NCCL INFO y\n"
    assert len(cleaned(text)) == 4  # the end of the text is an empty line


def test_the_newest_line_first_is_turned_round() -> None:
    lines = [f"2025-04-25T03:49:43.50{i}Z {line}" for i, line in enumerate(plain_traceback().rstrip().split("\n"))]
    (event,) = exceptions("\n".join(reversed(lines)))
    assert (event.text, len(event.frames)) == ("ValueError: bad value", 2)


def test_two_records_glued_on_one_line_are_two() -> None:
    texts = [line.text for line in cleaned("[2025-06-04 16:47:33 TP0] one[2025-06-04 16:47:34 TP1] two")]
    assert texts == ["one", "two"]
