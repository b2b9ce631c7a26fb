"""The logs of many nodes: who failed first."""

from __future__ import annotations

from pathlib import Path

import pytest

from sgldoctor.fleet.logs import explain, seconds
from sgldoctor.pipeline import Options

FIRST = """[2026-11-24 12:00:00 TP5] Load weight begin.
[2026-11-24 12:00:01 TP5] Scheduler hit an exception: Traceback (most recent call last):
  File "/x/sglang/srt/managers/scheduler.py", line 10, in run
    import torch
ImportError: libcudnn.so.9: cannot open shared object file: No such file or directory
"""
LATER = """[2026-11-24 12:00:00 TP0] Load weight begin.
[2026-11-24 12:00:31 TP0] Scheduler hit an exception: Traceback (most recent call last):
  File "/x/torch/distributed/x.py", line 10, in run
    work.wait()
RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer [192.0.2.7]:36832
"""


def logs(folder: Path, **texts: str) -> list[str]:
    for name, text in texts.items():
        (folder / f"{name}.log").write_text(text)
    return sorted(str(path) for path in folder.glob("*.log"))


def test_the_node_and_rank_that_failed_first_is_named_and_explained(tmp_path: Path) -> None:
    report = explain(logs(tmp_path, node0=LATER, node1=LATER.replace("31", "30"), node2=FIRST), Options())
    rows = report.facts.rows("fleet.failures")
    assert [(Path(row["node"]).stem, row["first"], row["after_s"]) for row in rows] == [
        ("node2", True, 0.0),
        ("node1", False, 29.0),
        ("node0", False, 30.0),
    ]
    assert rows[0]["rank"] == "TP5"
    assert report.causes[0].rule.slug == "missing-libcudnn"
    assert report.causes[0].evidence[0].file.endswith("node2.log")
    (first,) = [finding for finding in report.findings if finding.rule.slug == "fleet-first-failure"]
    assert "node2.log" in first.title


def test_without_times_nobody_is_said_to_be_first(tmp_path: Path) -> None:
    bare = FIRST.replace("[2026-11-24 12:00:00 TP5] ", "").replace("[2026-11-24 12:00:01 TP5] ", "")
    report = explain(logs(tmp_path, a=LATER, b=bare), Options())
    assert not any(row["first"] for row in report.facts.rows("fleet.failures"))
    assert any(entry.what == "first failure" for entry in report.facts.unknown)
    assert report.causes[0].rule.slug == "missing-libcudnn"


def test_healthy_logs_stay_healthy(tmp_path: Path) -> None:
    report = explain(logs(tmp_path, a="INFO start\n", b="INFO start\n"), Options())
    assert report.status == "healthy"
    assert not report.facts.known("fleet.failures")


@pytest.mark.parametrize(
    ("early", "late"),
    [
        ("2026-11-24 12:00:01", "2026-11-24 12:00:02"),
        ("2026-11-24T12:00:01.250Z", "2026-11-24T12:00:01.5Z"),
        ("2026-11-24T13:00:01+02:00", "2026-11-24T12:00:01Z"),
        ("05:03:03", "05:03:04,5"),
    ],
)
def test_times_are_ordered(early: str, late: str) -> None:
    assert (seconds(early)[0] or 0) < (seconds(late)[0] or 0)
    assert seconds(early)[1] == seconds(late)[1]


@pytest.mark.parametrize("text", ["", "1746690477", "2026-99-99 12:00:00", "nonsense"])
def test_what_is_no_time(text: str) -> None:
    assert seconds(text) == (None, False)
