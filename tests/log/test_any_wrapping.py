"""Whatever collectors, launchers, terminals and issue forms put round a log: the same cause, line and rank."""

from __future__ import annotations

import gzip
import io
import random
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgldoctor import log, pipeline
from sgldoctor.report.model import Report
from sgldoctor.rules.base import RuleBase
from sgldoctor.rules.load import load

SITE = "/opt/venv/lib/python3.12/site-packages"
FAULTS = {
    "gpu-memory-full-serving": [
        "Traceback (most recent call last):",
        f'  File "{SITE}/sglang/srt/managers/scheduler.py", line 2637, in run_scheduler_process',
        "    scheduler.event_loop_overlap()",
        f'  File "{SITE}/sglang/srt/layers/logits_processor.py", line 301, in forward',
        "    logits = torch.matmul(hidden_states, lm_head.weight.T)",
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has 1.20 GiB free.",
    ],
    "missing-libcudnn": [
        "Traceback (most recent call last):",
        f'  File "{SITE}/sglang/launch_server.py", line 7, in <module>',
        "    import torch",
        f'  File "{SITE}/torch/__init__.py", line 427, in <module>',
        "    from torch._C import *  # noqa: F403",
        "ImportError: libcudnn.so.9: cannot open shared object file: No such file or directory",
    ],
    "tp-not-divisible": [
        "Traceback (most recent call last):",
        f'  File "{SITE}/sglang/srt/managers/scheduler.py", line 2637, in run_scheduler_process',
        "    scheduler = Scheduler(server_args, port_args, gpu_id, tp_rank)",
        f'  File "{SITE}/sglang/srt/models/qwen2.py", line 120, in __init__',
        "    assert self.total_num_heads % tp_size == 0",
        "AssertionError",
    ],
}

Wrapper = Callable[[str, int], str]
RANKS: dict[str, Wrapper] = {
    "none": lambda line, _: line,
    "torchrun": lambda line, _: f"[rank3]: {line}",
    "mpi": lambda line, _: f"[1,3]<stderr>:{line}",
    "ray": lambda line, _: f"(WorkerDict rank=3 pid=4711, ip=10.0.0.7) {line}",
}
TIMES: dict[str, Wrapper] = {
    "none": lambda line, _: line,
    "iso": lambda line, i: f"2026-02-03T10:12:{i % 60:02}.123456789Z {line}",
    "space": lambda line, i: f"2026-02-03 10:12:{i % 60:02},123 {line}",
    "bracket": lambda line, i: f"[2026-02-03T10:12:{i % 60:02}.123Z] {line}",
    "epoch": lambda line, i: f"17385775{i % 60:02}.123456 {line}",
    "clock": lambda line, i: f"10:12:{i % 60:02} {line}",
    "slash": lambda line, i: f"2026/02/03 10:12:{i % 60:02} {line}",
}
COLLECTORS: dict[str, Wrapper] = {
    "none": lambda line, _: line,
    "compose": lambda line, _: f"sglang-1  | {line}",
    "cri": lambda line, i: f"2026-02-03T10:12:{i % 60:02}.21748708+08:00 stderr F {line}",
    "journald": lambda line, i: f"Feb 03 10:12:{i % 60:02} node17 sglang[4711]: {line}",
    "buildkit": lambda line, i: f"#14 17.{i:03} {line}",
    "loguru": lambda line, i: f"2026-02-03 10:12:{i % 60:02}.123 | ERROR | stderr | {line}",
    "logging": lambda line, i: f"2026-02-03 10:12:{i % 60:02},123 - __main__ - ERROR - {line}",
    "colour": lambda line, _: f"\x1b[36m(pid=4711)\x1b[0m {line}",
}
PASTED: dict[str, Wrapper] = {
    "none": lambda line, _: line,
    "quote": lambda line, _: f"> {line}",
    "twice": lambda line, _: f"> > {line}",
    "red": lambda line, _: f"\x1b[31m{line}\x1b[0m",
    "indented": lambda line, _: f"    {line}",
    "bordered": lambda line, _: f"│ {line:<170} │",
}


class Case(NamedTuple):
    """How a log is wrapped, from the inside outwards."""

    rank: str
    other: int
    time: str
    collector: str
    pasted: str
    fenced: bool
    end: str
    packed: str


cases = st.builds(
    Case, st.sampled_from(sorted(RANKS)), st.sampled_from([0, 0, 1, 2, 3]), st.sampled_from(sorted(TIMES)),
    st.sampled_from(sorted(COLLECTORS)), st.sampled_from(sorted(PASTED)), st.booleans(),
    st.sampled_from(["\n", "\r\n"]), st.sampled_from(["", "gzip", "utf-16", "bom"]),
)  # fmt: skip


@lru_cache(maxsize=1)
def rules() -> RuleBase:
    return load()


def interleaved(lines: list[str], seed: int) -> list[str]:
    """Two ranks that print the same traceback into one terminal, line by line in any order."""
    rng = random.Random(seed)
    queues = [[f"[rank{rank}]: {line}" for line in lines] for rank in (3, 5)]
    out = []
    while any(queues):
        queue = rng.choice([queue for queue in queues if queue])
        out.append(queue.pop(0))
    return out


def wrapped(lines: list[str], case: Case) -> tuple[bytes, list[str]]:
    """The log as bytes, and its lines as they stand in it."""
    wrap = RANKS["none" if case.other else case.rank]
    lines = interleaved(lines, case.other) if case.other else [wrap(line, i) for i, line in enumerate(lines)]
    for table, name in ((TIMES, case.time), (COLLECTORS, case.collector), (PASTED, case.pasted)):
        lines = [table[name](line, i) for i, line in enumerate(lines)]
    if case.fenced:
        lines = ["It dies when I start it:", "", "```", *lines, "```", "", "What can I do?"]
    text = case.end.join(lines) + case.end
    if case.packed == "utf-16":
        return text.encode("utf-16"), lines
    data = text.encode()
    if case.packed == "bom":
        return b"\xef\xbb\xbf" + data, lines
    return gzip.compress(data, 1) if case.packed else data, lines


def explained(data: bytes) -> Report:
    base = rules()
    reading = log.read(["-"], base.literals(), base.witnesses(), stdin=io.BytesIO(data))
    return pipeline.conclude("explain", reading.facts, reading.events, base, pipeline.Options())


@pytest.mark.parametrize("cause", sorted(FAULTS))
def test_each_fault_is_known_as_it_is(cause: str) -> None:
    report = explained("\n".join(FAULTS[cause]).encode())
    assert [finding.rule.slug for finding in report.causes] == [cause]


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(sorted(FAULTS)), cases)
def test_any_wrapping_gives_the_same_cause_at_its_line(cause: str, case: Case) -> None:
    lines = FAULTS[cause]
    data, shown = wrapped(lines, case)
    report = explained(data)
    assert [finding.rule.slug for finding in report.causes] == [cause]
    evidence = report.causes[0].evidence[0]
    decisive = lines[-1].partition(":")[0]
    assert decisive in shown[evidence.line - 1]
    if case.other:
        assert evidence.rank in ("3", "5")
        assert f"[rank{evidence.rank}]" in shown[evidence.line - 1]
    elif case.rank != "none":
        assert evidence.rank == "3"
