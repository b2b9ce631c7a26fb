"""One file call fails, whichever it is: no traceback, nothing unread called healthy, nothing lost by a repair.

``tests/inject.c`` makes the calls fail, in the doctor and in the installer that it starts. A sample of the calls; with
``SGLDOCTOR_THOROUGH=1`` ten times as many, with ``SGLDOCTOR_EVERY_CALL=1`` each of them (``check``: with every error).
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.lab_env import Lab, distribution, make_env, needs_gcc
from tests.real.envs import UV, Env, variables

pytestmark = [needs_gcc, pytest.mark.skipif(sys.platform != "linux", reason="needs LD_PRELOAD")]

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = 400 if os.environ.get("SGLDOCTOR_THOROUGH") else 40
EVERY = bool(os.environ.get("SGLDOCTOR_EVERY_CALL"))
PROCESSES = os.cpu_count() or 2
ERRORS = (errno.EIO, errno.EACCES, errno.EINTR, errno.ENOSPC)


class Ran(NamedTuple):
    """One run of the doctor: its status, what it printed, and which call failed."""

    status: int
    out: str
    err: str
    failed: str


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shim") / "inject.so"
    source = str(ROOT / "tests" / "inject.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", str(path), source, "-ldl"], check=True)
    return path


def run(shim: Path, command: list[str], under: Path, at: int, error: int, environ: dict[str, str]) -> Ran:
    log = under.parent / f"{under.name}.{at}.{error}"
    injected = {
        "LD_PRELOAD": str(shim), "INJECT_UNDER": str(under), "INJECT_AT": str(at), "INJECT_ERRNO": str(error),
        "INJECT_LOG": str(log),
    }  # fmt: skip
    done = subprocess.run(
        command, env={**environ, **injected}, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    return Ran(done.returncode, done.stdout, done.stderr, log.read_text().strip() if log.exists() else "")


def points(total: int, count: int) -> list[tuple[int, int]]:
    """Calls evenly spread over all, each with one of the errors in turn."""
    step = 1 if EVERY else max(1, total // count)
    return [(at, ERRORS[number % len(ERRORS)]) for number, at in enumerate(range(1, total + 1, step))]


def sick(folder: Path) -> Lab:
    """Faults of several kinds: a library, a version, metadata."""
    lab = make_env(folder, "0.5.8")
    for path in lab.site.glob("nvidia/cusparselt/lib/libcusparseLt*.so*"):
        path.unlink()
    lab.uninstall("flashinfer-python")
    distribution(lab.site, "flashinfer-python", "0.5.0", ["torch"])
    (lab.site / "~transformers").mkdir()
    return lab


def seen(report: dict[str, Any]) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    findings = {(finding["rule"], finding["subject"]) for finding in report["findings"]}
    return findings, {(entry["what"], entry["because"]) for entry in report["unknown"]}


def test_check(shim: Path, tmp_path: Path) -> None:
    lab = sick(tmp_path / "lab")
    prefix = lab.site.parents[2]
    command = [sys.executable, "-m", "sgldoctor", "check", "--venv", str(prefix), "--format", "json"]
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    run(shim, command, lab.root, 0, 0, environ)  # fills the cache
    first = run(shim, command, lab.root, 0, 0, environ)
    known, before = seen(json.loads(first.out))
    total = int(first.failed.splitlines()[-1])
    assert {"missing-libcusparselt", "flashinfer-version-mismatch"} <= {rule for rule, _ in known}, known
    assert total > 1000, "the shim does not see the calls"

    def judged(point: tuple[int, int]) -> list[str]:
        ran = run(shim, command, lab.root, *point, environ)
        told = f"{errno.errorcode[point[1]]} in {ran.failed}: "
        if "Traceback" in ran.err:
            return [told + ran.err[-500:]]
        if ran.status == 2:  # the environment itself could not be found
            return [] if len(ran.err.splitlines()) == 1 and not ran.out else [told + ran.err]
        report = json.loads(ran.out)
        findings, unknown = seen(report)
        wrong = [told + because for _, because in unknown if "failed: " in because]
        if report["status"] == "healthy" or ran.status == 0:
            wrong.append(told + "healthy")
        lost = known - findings
        said = unknown - before or {entry for entry in findings - known if "cannot be read" in ran.out}
        if lost and not said:
            wrong.append(f"{told}{lost} is not seen, and nothing says why")
        claimed = {
            finding["rule"]
            for finding in report["findings"]
            if (finding["rule"], finding["subject"]) in findings - known
            and ("missing" in finding["rule"] or "absent" in finding["rule"])
            # A library that the loader could not read either cannot be loaded, and the evidence says why.
            and not any("cannot be read: " in entry["text"] for entry in finding["evidence"])
        }
        if claimed:
            wrong.append(f"{told}{claimed} is claimed of what could not be read")
        return wrong

    tried = [(at, error) for at in range(1, total + 1) for error in ERRORS] if EVERY else points(total, SAMPLE)
    with ThreadPoolExecutor(PROCESSES) as pool:
        wrong = [line for lines in pool.map(judged, tried) for line in lines]
    print(f"{len(tried)} failures of {total} calls")
    assert not wrong, "\n".join(wrong)


@pytest.mark.venv
@pytest.mark.skipif(not UV, reason="no uv")
def test_fix(shim: Path, uv_template: Path, wheels: Path, tmp_path: Path) -> None:
    whole = Env(uv_template, variables(tmp_path), wheels).versions()

    def broken(name: str) -> Env:
        folder = tmp_path / name
        shutil.copytree(uv_template, folder / "venv", symlinks=True)
        env = Env(folder / "venv", variables(folder), wheels)
        env.uv("uninstall", "nvidia-cudnn-cu12")
        return env

    def repaired(name: str, at: int, error: int) -> tuple[Env, Ran]:
        env = broken(name)
        options = ["--yes", "--find-links", str(wheels), "--no-index"]
        command = [sys.executable, "-m", "tests.real.envs", str(env.prefix), *options]
        return env, run(shim, command, env.prefix.parent, at, error, env.environ)

    env, first = repaired("first", 0, 0)
    assert first.status == 0, first.out + first.err
    assert env.versions() == whole
    total = max(int(line) for line in first.failed.splitlines())

    def judged(point: tuple[int, int]) -> list[str]:
        env, ran = repaired(f"at{point[0]}", *point)
        told = f"{errno.errorcode[point[1]]} in {ran.failed}: status {ran.status}: "
        found = env.versions()
        before = {name: version for name, version in whole.items() if name != "nvidia-cudnn-cu12"}
        wrong = []
        # What uv quotes of a Python that it asked is no traceback of ours.
        if "Traceback" in ran.err + ran.out and str(ROOT) in ran.err + ran.out:
            wrong.append(told + ran.err[-1500:])
        if found not in (before, whole):
            wrong.append(f"{told}neither as before nor repaired: {set(found.items()) ^ set(whole.items())}")
        if ran.status == 0 and env.report().status != "healthy":
            wrong.append(told + "called repaired")
        return wrong

    tried = points(total, SAMPLE // 3)
    with ThreadPoolExecutor(PROCESSES) as pool:
        wrong = [line for lines in pool.map(judged, tried) for line in lines]
    print(f"{len(tried)} failures of {total} calls")
    assert not wrong, "\n".join(wrong)
