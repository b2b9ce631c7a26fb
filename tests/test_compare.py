"""The comparison with other tools is fair: what each verdict needs, in words that the tools have printed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import compare

from tests.lab.variants import ALL

SOUND = "No broken requirements found.\n  ✗ GPU002  No NVIDIA GPU detected\n"
LOADER = "ImportError: libcudnn.so.9: cannot open shared object file: No such file or directory"


@pytest.mark.parametrize(
    ("subject", "said", "verdict"),
    [
        ("sgl-kernel", "sglang 0.5.8 has requirement sgl-kernel==0.3.21, but you have sgl-kernel 0.3.19.", "found"),
        ("flashinfer", "sglang 0.5.8 has requirement flashinfer_python==0.6.1, but you have 0.5.3.", "found"),
        ("numpy", "The package `sglang` requires `numpy`, but it's not installed", "found"),
        ("transformers", "transformers: Module Not Found", "found"),
        ("libcudnn", f"  ✗ TORCH005  PyTorch cannot be imported\n      · {LOADER}", "found"),
        ("libcudnn", f'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\n{LOADER}', "trace"),
        ("numpy", "/x/torch/t.py:279: UserWarning: Failed to initialize NumPy: No module named 'numpy'", "trace"),
        ("libcudnn", "❌  torch is NOT installed.", "wrong"),
        ("libnccl", f'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\n{LOADER}', "wrong"),
        ("sgl-kernel", "sgl_kernel: 0.3.19", "missed"),
        ("sgl-kernel", "", "missed"),
        ("libcudnn", SOUND, "missed"),
    ],
)
def test_a_verdict_needs(subject: str, said: str, verdict: str) -> None:
    ran, sound = (compare.Ran(text, 0, 1.0, 1.0) for text in (said, SOUND))
    assert compare.judge(subject, ran, sound) == verdict


@pytest.mark.parametrize(
    ("tool", "said", "status", "alarms"),
    [
        ("cuda-doctor", "  ✗ GPU002  No NVIDIA GPU detected\n  ⚠ D002  PyTorch/local toolkit build mismatch", 0, 0),
        ("cuda-doctor", "  ✗ D009  cuDNN is missing", 0, 1),
        ("mlenvdoctor", "│ peft │ [X] FAIL - Not installed │ CRITICAL │", 2, 1),
        ("sgldoctor", "HEALTHY  no problem found here (1 warning)\nWarning   No NVIDIA GPU is seen", 0, 0),
        ("sgldoctor", "PROBLEM  numpy is not installed\nCause     numpy is not installed", 1, 2),
        ("pip check", "numpy is missing", 1, 1),
        ("pip check", "No broken requirements found.", 0, 0),
    ],
)
def test_an_alarm_is_what_the_tool_marks_as_an_error(tool: str, said: str, status: int, alarms: int) -> None:
    (found,) = [one for one in compare.TOOLS if one.name == tool]
    assert compare.false_alarms(found, compare.Ran(said, status, 1.0, 1.0)) == alarms


def test_its_faults_are_faults_of_the_lab_that_must_be_found() -> None:
    variants = {variant.name: variant for variant in ALL}
    for name in compare.CASES:
        assert variants[name].subject
        assert variants[name].severity == "error"
        assert variants[name].good == "good058"
