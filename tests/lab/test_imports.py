"""The imagined ``import torch`` against the real one: the same files, in sound environments and in spoilt ones."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sgldoctor.probe import environments
from sgldoctor.probe.extensions import import_torch
from sgldoctor.probe.loader import Process
from sgldoctor.probe.target import Target
from tests.lab.env import Copy, Variant, make
from tests.lab.moved import cu12_left_over, without
from tests.lab_env import MACHINE

LAB = os.environ.get("SGLDOCTOR_LAB", "")
pytestmark = pytest.mark.skipif(not LAB, reason="SGLDOCTOR_LAB names no folder of real SGLang environments")

MAPS = """import torch
for line in open("/proc/self/maps"):
    if ".so" in line and "/" in line:
        print(line[line.index("/"):].strip())"""


def nothing(copy: Copy) -> None:
    """Leave it as it is."""


def cut_nvrtc(copy: Copy) -> None:
    """A library that cannot be mapped: torch catches that, and leaves out those behind it."""
    copy.write("nvidia/cu13/lib/libnvrtc.so.13", b"no library")


CASES = [
    ("good058", nothing), ("good0516", nothing), ("good0523", nothing),
    ("good0516", cu12_left_over), ("good0523", cu12_left_over),
    # From torch 2.14 on libtorch itself needs nvrtc, so that nothing of this can be seen there.
    ("good0516", cut_nvrtc), ("good0516", without("nvidia-cuda-nvrtc")),
]  # fmt: skip


@pytest.mark.parametrize(("good", "spoil"), CASES)
def test_what_import_torch_maps(good: str, spoil: Callable[[Copy], None], request: pytest.FixtureRequest) -> None:
    """Every library of the wheels that the real process maps, and no other."""
    if not (Path(LAB) / good).is_dir():
        pytest.skip(f"no {good}")
    folder = Path(LAB) / ".imports" / f"{good}-{os.getpid()}"
    made = make(Path(LAB), folder, Variant("imports", good, spoil))
    request.addfinalizer(lambda: shutil.rmtree(folder))
    done = subprocess.run([str(made.python), "-c", MAPS], capture_output=True, text=True, check=True)
    inside = f"{made.site}/"
    real = {line for line in done.stdout.splitlines() if line.startswith((f"{inside}nvidia/", f"{inside}torch/lib/"))}
    target: Target = environments.find(str(made.python), None, None, os.environ)
    process = Process(target.root, MACHINE)
    process.start(os.path.realpath(made.python))
    process.forget()
    import_torch(process, target, "13.0" if (made.site / "nvidia/cu13").is_dir() else "12.8")
    ours = {node.path for node in process.loaded.values() if node.path.startswith(inside)}
    ours = {os.path.normpath(path) for path in ours if "/nvidia/" in path or "/torch/lib/" in path}
    assert real
    assert ours == real
