"""A running process as the target: a real Python, started and looked at."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sgldoctor import pipeline
from sgldoctor.errors import InputError
from sgldoctor.probe.process import command, of_pid, process

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")

WAIT = "import ctypes, sys; {}; print('up', flush=True); sys.stdin.read()"


def start(*arguments: str, environ: dict[str, str] | None = None) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environ or {})},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    return child


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    module = tmp_path / "sglang/launch_server.py"
    module.parent.mkdir()
    module.write_text(WAIT.format("pass"))
    variables = {"SGLANG_TEST_MARK": "yes", "PYTHONPATH": str(tmp_path)}
    child = start("-m", "sglang.launch_server", "--tp", "8", environ=variables)
    yield child
    child.communicate("")


def test_interpreter_and_variables_are_those_of_the_process(server: subprocess.Popen[str]) -> None:
    target = of_pid(server.pid, {})
    assert target.python == sys.executable
    assert target.prefix == sys.prefix
    assert target.environ["SGLANG_TEST_MARK"] == "yes"
    assert target.live
    assert target.chosen.startswith(f"--pid {server.pid}")
    assert "--tp" in command(server.pid)


def test_its_line_is_judged_without_being_asked(server: subprocess.Popen[str]) -> None:
    facts = pipeline.examine(of_pid(server.pid, {}), pipeline.Asked())
    assert "--tp 8" in facts.value("process", "command")
    assert facts.known("process.libraries")
    assert facts.known("launch")
    assert {"SGLANG_TEST_MARK"} <= {row["name"] for row in facts.rows("environment")}


def test_libraries_are_those_that_are_mapped(tmp_path: Path) -> None:
    first, second = tmp_path / "libcudnn.so.9", tmp_path / "other/libcudnn.so.9"
    second.parent.mkdir()
    for path, function in ((first, "one"), (second, "two")):
        source = f"int {function}(void) {{ return 0; }}"
        compile_it = ["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(path)]
        try:
            subprocess.run(compile_it, input=source, text=True, check=True)
        except FileNotFoundError:
            pytest.skip("needs gcc")
    child = start("-c", WAIT.format(f"ctypes.CDLL({str(first)!r}); ctypes.CDLL({str(second)!r})"))
    try:
        first.unlink()
        facts = process(of_pid(child.pid, {}))
    finally:
        child.communicate("")
    rows = {row["path"]: row["replaced"] for row in facts.rows("process.libraries")}
    assert rows[str(first)] is True
    assert rows[str(second)] is False
    (copies,) = facts.rows("process.copies")
    assert (copies["library"], sorted(copies["paths"])) == ("libcudnn", sorted([str(first), str(second)]))


def test_what_is_no_python_is_refused() -> None:
    child = subprocess.Popen(["sleep", "30"])
    try:
        with pytest.raises(InputError, match="not Python"):
            of_pid(child.pid, {})
    finally:
        child.kill()
        child.wait()
    with pytest.raises(InputError, match="no such process"):
        of_pid(child.pid, {})
