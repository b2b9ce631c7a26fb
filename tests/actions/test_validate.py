"""What may go into an action: names, requirements, values, and flags that the release has."""

from __future__ import annotations

import pytest

from sgldoctor.actions.validate import flag_problem, known_names, requirement
from sgldoctor.knowledge import flags

NEWEST = flags.releases()[-1]


@pytest.mark.parametrize(
    ("flag", "value", "problem"),
    [
        ("--tp-size", "2", ""),
        ("--tp-size", None, "--tp-size needs a value"),
        ("--trust-remote-code", None, ""),
        ("--trust-remote-code", "true", "--trust-remote-code takes no value"),
        ("--no-such-flag", None, f"SGLang {NEWEST} has no flag --no-such-flag"),
        ("--load-format", "nonsense", f"--load-format of SGLang {NEWEST} does not take 'nonsense'"),
    ],
)
def test_a_flag_must_fit_its_release(flag: str, value: str | None, problem: str) -> None:
    assert flag_problem(flag, value, NEWEST) == problem
    assert flag_problem(flag, value, "") == ""
    assert flag_problem(flag, value, "99.0") == ""


def test_a_flag_that_takes_over_the_values_of_another_needs_none() -> None:
    assert flag_problem("--tp-size", None, NEWEST, instead="--a-flag-with-a-value") == ""
    assert flag_problem("--tp-size", None, NEWEST, instead="--trust-remote-code") == "--tp-size needs a value"


def test_a_requirement_is_plain_and_short() -> None:
    assert requirement("Torch == 2.9.1") == ("torch", "torch==2.9.1")
    assert requirement("torch>=2,<3") == ("torch", "torch<3,>=2")
    assert requirement("torch" + ",".join(">=2" for _ in range(60))) is None
    for text in ("x @ https://example.org/x.whl", "x; python_version < '4'", "-r x.txt", "x y"):
        assert requirement(text) is None, text


def test_wheels_of_both_cuda_lanes_are_known() -> None:
    assert {"nvidia-cudnn", "nvidia-cudnn-cu12", "nvidia-cudnn-cu13", "sglang-kernel", "torch"} <= known_names()
