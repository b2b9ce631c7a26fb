"""Real imports in children, with modules that a test lays out: one that works, one that dies, one that hangs."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sgldoctor import pipeline
from sgldoctor.facts import Row
from sgldoctor.probe import deep as module
from sgldoctor.probe.deep import STEPS, deep, hashes
from sgldoctor.probe.target import Target

FAKE_TORCH = """
import sys
class cuda:
    is_available = staticmethod(lambda: False)
"""


def target(site: Path) -> Target:
    environ = {**os.environ, "PYTHONPATH": str(site)}
    return Target("/", sys.executable, sys.prefix, (str(site),), "3.11", environ, "test", "venv")


def lay(site: Path, **modules: str) -> None:
    for name, text in modules.items():
        folder = site / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text(text)


def runs(site: Path) -> tuple[dict[str, dict[str, object]], bytes]:
    facts, output = deep(target(site))
    return {str(row["name"]): row for row in facts.rows("deep.runs")}, output


def test_what_is_not_installed_and_what_has_no_gpu_is_skipped_with_the_reason(tmp_path: Path) -> None:
    lay(tmp_path, torch=FAKE_TORCH)
    found, output = runs(tmp_path)
    assert found["import torch"]["status"] == "ok"
    assert (found["import flashinfer"]["status"], found["import flashinfer"]["because"]) == (
        "skipped",
        "flashinfer is not installed",
    )
    assert found["matrix product"]["because"] == "torch sees no CUDA device"
    assert output == b""


def test_a_failing_import_is_explained(tmp_path: Path) -> None:
    text = "raise ImportError('libcudnn.so.9: cannot open shared object file: No such file or directory')"
    lay(tmp_path, torch=text)
    report = pipeline.check(target(tmp_path), pipeline.Asked(deep=True), pipeline.Options())
    assert "missing-libcudnn" in {finding.rule.slug for finding in report.causes}
    rows = {row["name"]: row for row in report.facts.rows("deep.runs")}
    assert rows["import torch"]["status"] == "failed"
    assert rows["matrix product"]["because"] == "torch cannot be imported"


def test_a_silent_death_and_a_hang_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(
        tmp_path,
        torch="import os, signal\nos.kill(os.getpid(), signal.SIGBUS)",
        flashinfer="import time\ntime.sleep(60)",
    )
    monkeypatch.setattr(module, "STEPS", tuple(step._replace(seconds=1.0) for step in STEPS))
    found, _ = runs(tmp_path)
    assert found["import torch"]["status"] == "killed"
    assert "without a word" in str(found["import torch"]["because"])
    assert found["import flashinfer"]["status"] == "timeout"
    report = pipeline.check(target(tmp_path), pipeline.Asked(deep=True), pipeline.Options())
    assert "deep-run-ended" in {finding.rule.slug for finding in report.findings}


def test_hashes_find_what_sizes_do_not(tmp_path: Path) -> None:
    info = tmp_path / "nvidia_cudnn_cu12-9.1.dist-info"
    info.mkdir()
    library = tmp_path / "nvidia/cudnn/lib/libcudnn.so.9"
    library.parent.mkdir(parents=True)
    library.write_bytes(b"a" * 100)
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"a" * 100).digest()).rstrip(b"=").decode()
    (info / "RECORD").write_text(f"nvidia/cudnn/lib/libcudnn.so.9,sha256={digest},100\n")
    rows: dict[str, Row] = {}
    assert hashes(target(tmp_path), time.monotonic() + 60, rows) == []
    assert rows == {}
    library.write_bytes(b"b" * 100)
    assert hashes(target(tmp_path), time.monotonic() + 60, rows) == []
    (row,) = rows.values()
    assert (row["name"], row["problem"], row["count"]) == ("nvidia-cudnn-cu12", "hash", 1)


def test_hashing_ends_in_time_and_says_what_was_not_read(tmp_path: Path) -> None:
    info = tmp_path / "torch-2.9.1.dist-info"
    info.mkdir()
    (tmp_path / "libx.so").write_bytes(b"a" * 100)
    (info / "RECORD").write_text("libx.so,sha256=nothing,100\n")
    rows: dict[str, Row] = {}
    assert hashes(target(tmp_path), time.monotonic() - 1, rows) == ["torch"]
    assert rows == {}
    facts, _ = deep(target(tmp_path), hashing=-1.0)
    (said,) = [entry.because for entry in facts.unknown if entry.what == "hashes"]
    assert "from torch on are not read within" in said


def test_an_unpacked_root_cannot_be_run(tmp_path: Path) -> None:
    facts, output = deep(target(tmp_path)._replace(root=str(tmp_path)))
    assert output == b""
    assert facts.unknown[0].what == "deep"


@pytest.mark.gpu
def test_on_a_real_gpu_everything_passes() -> None:
    """With any Python that has torch: ``SGLDOCTOR_TORCH_PYTHON``, else those on PATH."""
    from sgldoctor.probe.environments import find

    wanted = [os.environ.get("SGLDOCTOR_TORCH_PYTHON", ""), "python3", "python"]
    for python in filter(None, wanted):
        try:
            done = subprocess.run(
                [python, "-c", "import torch; assert torch.cuda.is_available()"], capture_output=True, check=False
            )
        except OSError:
            continue
        if done.returncode == 0:
            break
    else:
        pytest.skip("no Python here has a torch that sees a GPU")
    facts, output = deep(find(python, None, None, os.environ))
    rows = {row["name"]: row["status"] for row in facts.rows("deep.runs")}
    assert (rows["import torch"], rows["matrix product"], rows["all-reduce"]) == ("ok", "ok", "ok"), output.decode()
