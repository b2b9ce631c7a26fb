"""Actions of root: the programs are stood in for, since a machine without a GPU or a network card lacks them."""

from __future__ import annotations

from pathlib import Path

import pytest
from pytest_subprocess import FakeProcess

from sgldoctor.actions.base import Ground
from sgldoctor.actions.kinds.load_module import LoadModule
from sgldoctor.actions.kinds.system_package import SystemPackage
from sgldoctor.errors import FixError
from sgldoctor.fix import effects


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(str(tmp_path), {}, "20260101-000000-test")


def test_a_module_is_loaded_by_its_name_alone(fp: FakeProcess, ground: Ground) -> None:
    fp.register(["modprobe", "nvidia_peermem"])
    action = LoadModule("nvidia_peermem")
    effects.apply(action, effects.prepare(action, ground), ground)
    assert list(fp.calls) == [["modprobe", "nvidia_peermem"]]


def test_a_module_that_the_kernel_refuses_is_an_error_that_says_so(fp: FakeProcess, ground: Ground) -> None:
    """Text of modprobe where the module and the loaded ib_core disagree (NVIDIA/gpu-operator issue 2868)."""
    fp.register(
        ["modprobe", "nvidia_peermem"],
        returncode=1,
        stderr="modprobe: ERROR: could not insert 'nvidia_peermem': Invalid argument",
    )
    action = LoadModule("nvidia_peermem")
    with pytest.raises(FixError, match="Invalid argument"):
        effects.apply(action, effects.prepare(action, ground), ground)


def test_system_packages_go_to_the_tool_in_one_call(fp: FakeProcess, ground: Ground) -> None:
    fp.register([fp.any()])
    fp.keep_last_process(True)
    action = SystemPackage(("libnuma1", "libibverbs1"))
    effects.apply(action, effects.prepare(action, ground), ground)
    calls = [list(call) for call in fp.calls]
    assert calls
    assert calls[-1][0] == "apt-get"
    assert calls[-1][-2:] == ["libnuma1", "libibverbs1"]
