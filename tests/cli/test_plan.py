"""``sgldoctor plan``: what is planned, what is refused and why, and that a resolver agrees."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import venv
from pathlib import Path
from typing import Any

import pytest

from sgldoctor.__main__ import main
from sgldoctor.fix.tools import find_uv
from sgldoctor.knowledge import releases
from tests.lab_env import distribution

NEWEST = releases.newest()
KNOWN = [version for version in releases.versions() if version.startswith("0.5.")]


@pytest.fixture
def plan(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str, form: str = "json") -> Any:
        status = main(["plan", "--elsewhere", "--format", form, *arguments])
        said = capsys.readouterr()
        return {"exit": status, **json.loads(said.out)} if form == "json" else (status, said.out, said.err)

    return run


def test_the_install_is_one_resolving_step(plan: Any) -> None:
    said = plan("--sglang", "0.5.8", "--python", "3.12")
    assert said["exit"] == 0
    assert said["cuda"] == "12.8"
    assert [step["commands"] for step in said["steps"] if step["title"] == "SGLang 0.5.8"] == [
        ['uv pip install "sglang==0.5.8"']
    ]
    assert {"torch==2.9.1", "sgl-kernel==0.3.21", "nvidia-cudnn-cu12==9.10.2.21"} <= set(said["pins"])


def test_a_prerelease_is_named_where_only_one_fits(plan: Any) -> None:
    assert "flash-attn-4>=4.0.0b4" in plan("--sglang", "0.5.10.post1")["requirements"]
    assert plan("--sglang", "0.5.8")["requirements"] == ["sglang==0.5.8"]


def test_before_the_server_was_the_plain_install_its_extra_is_named(plan: Any) -> None:
    assert plan("--sglang", "0.5.2")["requirements"][0] == "sglang[all]==0.5.2"


def test_deepep_is_a_chain_before_it_was_a_wheel(plan: Any) -> None:
    old = plan("--sglang", "0.5.8", "--with", "deepep", "--compute-capability", "10.0")
    titles = [step["title"] for step in old["steps"] if step["title"].startswith("DeepEP")]
    assert [title.split(":")[1].split()[0] for title in titles] == ["gdrcopy", "NVSHMEM", "DeepEP"]
    assert any('TORCH_CUDA_ARCH_LIST="10.0"' in command for step in old["steps"] for command in step["commands"])
    new = plan("--sglang", NEWEST, "--with", "deepep")
    (step,) = [step for step in new["steps"] if step["title"].startswith("DeepEP")]
    assert "sgl-deep-ep" in step["why"]


@pytest.mark.parametrize(("sglang", "nixl", "mooncake"), [
    ("0.5.8", "nixl-cu12", "mooncake-transfer-engine=="), (NEWEST, "nixl-cu13", "mooncake-transfer-engine-cuda13")
])  # fmt: skip
def test_companions_follow_the_cuda_of_the_release(plan: Any, sglang: str, nixl: str, mooncake: str) -> None:
    said = plan("--sglang", sglang, "--with", "nixl,mooncake,vllm")
    commands = "\n".join(command for step in said["steps"] for command in step["commands"])
    assert nixl in commands
    assert mooncake in commands
    assert "--no-deps nixl" in commands
    assert '"$VENV-vllm"' in commands


def test_measured_conflicts_with_vllm_are_told(plan: Any) -> None:
    notes = " ".join(plan("--sglang", "0.5.8", "--with", "vllm")["notes"])
    assert "flashinfer-python 0.6.1 to 0.5.3" in notes
    assert "was not measured" in " ".join(plan("--sglang", NEWEST, "--with", "vllm")["notes"])


@pytest.mark.parametrize(("arguments", "reason"), [
    (["--sglang", NEWEST, "--python", "3.10"], "needs Python >=3.11"),
    (["--sglang", NEWEST, "--python", "3.14"], "no source distribution"),
    (["--sglang", NEWEST, "--glibc", "2.31"], "glibc 2.31 is older than 2.34"),
    (["--sglang", NEWEST, "--driver", "550.54.14"], "driver 550.54.14 is older than 580.65.06"),
    (["--sglang", NEWEST, "--cuda", "12"], "last with a CUDA 12 lane"),
    (["--sglang", "0.5.8", "--cuda", "13"], "CUDA 13 begins with"),
])  # fmt: skip
def test_the_impossible_is_refused_with_the_reason(plan: Any, arguments: list[str], reason: str) -> None:
    said = plan(*arguments)
    assert said["exit"] == 1
    assert any(reason in text for text in said["refused"]), said["refused"]
    assert said["steps"] == []
    status, out, error = plan(*arguments, form="shell")
    assert (status, out) == (1, "")
    assert reason in error


@pytest.mark.parametrize("arguments", [
    ["--sglang", "0.5.8", "--driver", "535.54.03", "--glibc", "2.31", "--python", "3.10"],
    ["--sglang", "0.5.13", "--cuda", "12"],
    ["--sglang", NEWEST, "--driver", "580.65.06", "--glibc", "2.34", "--python", "3.11", "--cuda", "13.0"],
])  # fmt: skip
def test_the_possible_is_not(plan: Any, arguments: list[str]) -> None:
    assert plan(*arguments)["refused"] == []


def test_the_lane_of_cuda_12_has_all_that_is_compiled_for_it(plan: Any) -> None:
    _, script, _ = plan("--sglang", "0.5.14", "--cuda", "12", form="shell")
    built = [line for line in script.splitlines() if "cu129" in line and not line.startswith("#")]
    assert [next(word for word in line.split() if "==" in word).split("==")[0] for line in built] == [
        "torch",
        "sglang-kernel",
        "sgl-deep-gemm",
    ]


@pytest.mark.parametrize("sglang", KNOWN)
def test_every_release_has_a_plan_whose_script_bash_can_read(plan: Any, sglang: str, tmp_path: Path) -> None:
    status, script, _ = plan("--sglang", sglang, "--with", "deepep,nixl,mooncake,vllm", form="shell")
    assert status == 0
    (tmp_path / "install.sh").write_text(script, encoding="utf-8")
    subprocess.run([shutil.which("bash") or "bash", "-n", str(tmp_path / "install.sh")], check=True)
    # What needs root is shown, never run by the script.
    assert not [line for line in script.splitlines() if "apt-get" in line and not line.startswith("#")]


def test_constraints_are_exact_pins(plan: Any) -> None:
    from packaging.requirements import Requirement

    _, out, _ = plan("--sglang", "0.5.13", form="constraints")
    lines = [Requirement(line) for line in out.splitlines()]
    assert len(lines) > 10
    assert all(str(line.specifier).startswith("==") and line.marker is None for line in lines)


@pytest.mark.parametrize(("arguments", "said"), [
    (["--sglang", "9.9.9"], "no release that is known"), (["--with", "nonsense"], "there are deepep"),
    (["--cuda", "twelve"], "is no CUDA release"), (["--python", "2.7"], "is no Python version"),
])  # fmt: skip
def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert main(["plan", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_resolve_without_uv_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert main(["plan", "--elsewhere", "--resolve"]) == 2
    assert "needs uv" in capsys.readouterr().err


REQUIRES = [
    "torch==2.9.1", "sgl_kernel==99.1", "flashinfer_python[cu13]==0.9", "einops", "old==1; python_version < '3'",
    "accelerate==1.2; extra == 'diffusion'",
]  # fmt: skip


@pytest.mark.parametrize(("torch", "cuda"), [("2.9.1", "12.8"), ("98.0", "")])
def test_a_release_newer_than_all_is_planned_by_its_metadata(
    plan: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torch: str, cuda: str
) -> None:
    venv.create(tmp_path / "venv", symlinks=True)
    (site,) = (tmp_path / "venv").glob("lib/python3*/site-packages")
    requires = [line.replace("2.9.1", torch) for line in REQUIRES]
    distribution(site, "sglang", "99.0", requires, extra="Requires-Python: >=3.12")
    monkeypatch.setenv("VIRTUAL_ENV", str(tmp_path / "venv"))
    said = plan("--sglang", "99.0")
    assert (said["exit"], said["python"], said["cuda"]) == (0, "3.12", cuda)
    assert said["requirements"] == ["sglang==99.0"]
    assert {f"torch=={torch}", "sgl-kernel==99.1", "flashinfer-python==0.9"} <= set(said["pins"])
    assert not [pin for pin in said["pins"] if pin.startswith(("accelerate", "old", "einops"))]
    assert f"newer than all releases known here (up to {NEWEST})" in said["notes"][0]
    assert [f"torch {torch} is built" in note for note in said["notes"][1:]] == [True] * (not cuda)
    assert plan("--sglang", "99.0", "--python", "3.11")["exit"] == 1
    assert main(["plan", "--sglang", "99.1"]) == 2


@pytest.mark.network
@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
@pytest.mark.parametrize("sglang", ["0.5.8", "0.5.10.post1", "0.5.13", NEWEST])
def test_a_resolver_agrees(plan: Any, sglang: str, python: str) -> None:
    if not find_uv(os.environ):
        pytest.skip("no uv here")
    said = plan("--sglang", sglang, "--python", python, "--resolve")
    if said["refused"]:
        assert sglang == NEWEST
        assert python == "3.10"
        return
    assert said["resolved"]["ok"], said["resolved"]


@pytest.mark.network
@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13"])
@pytest.mark.parametrize("sglang", ["0.5.8", "0.5.10.post1", "0.5.13", "0.5.16", "0.5.19"])
def test_a_resolver_agrees_on_the_lane_of_cuda_12(plan: Any, sglang: str, python: str) -> None:
    if not find_uv(os.environ):
        pytest.skip("no uv here")
    said = plan("--sglang", sglang, "--cuda", "12", "--python", python, "--elsewhere", "--resolve")
    assert not said["refused"]
    assert said["resolved"]["ok"], said["resolved"]


def _commands(said: Any, title: str) -> list[dict[str, Any]]:
    return [step for step in said["steps"] if step["title"].startswith(title)]


def test_the_deepep_chain_says_what_is_fetched_built_and_why(plan: Any) -> None:
    known = releases.load("companions.json")["deepep"]
    said = plan("--sglang", "0.5.8", "--with", "deepep")
    gdrcopy, nvshmem, deepep = _commands(said, "DeepEP")
    assert gdrcopy["commands"][0] == f"git clone -b v{known['gdrcopy_version']} {known['gdrcopy']} gdrcopy"
    assert [command.split()[0] for command in gdrcopy["commands"]] == ["git", "make", "make"]
    assert gdrcopy["why"].startswith("NVSHMEM reaches GPU memory from the CPU")
    (pinned,) = [pin for pin in said["pins"] if pin.startswith("nvidia-nvshmem")]
    assert nvshmem["commands"] == [f"uv pip install --no-deps {pinned}"]
    assert nvshmem["why"].startswith("torch's own wheel")
    assert nvshmem["moves"].startswith("nothing")
    commit = releases.load("docker-pins.json")["snapshots"][-1]["pins"]["deepep_commit"]
    assert f"git -C DeepEP checkout {commit}" in deepep["commands"]
    assert any('TORCH_CUDA_ARCH_LIST="9.0"' in command for command in deepep["commands"])
    assert deepep["moves"] == known["moves"]


def test_the_capability_that_deepep_is_built_for_is_told_where_nobody_named_it(plan: Any) -> None:
    told = "DeepEP is built for compute capability 9.0; name another with --compute-capability"
    assert told in plan("--sglang", "0.5.8", "--with", "deepep")["notes"]
    assert told not in plan("--sglang", "0.5.8", "--with", "deepep", "--compute-capability", "10.0")["notes"]


def test_mooncake_is_the_one_of_the_images_of_that_time_or_the_nearest(plan: Any) -> None:
    (first, oldest), *_, (last, newest) = releases.image_pins("mooncake-transfer-engine")
    for sglang, version in (("0.5.4", oldest), (first, oldest), (last, newest), ("0.5.10", newest)):
        (step,) = _commands(plan("--sglang", sglang, "--with", "mooncake"), "Mooncake")
        assert step["commands"][0] == f"uv pip install --no-deps mooncake-transfer-engine=={version}"
        assert step["why"].startswith("--disaggregation-transfer-backend mooncake")
        assert step["moves"] == "nothing: it does not depend on torch"
    (entry,) = [entry for entry in releases.load("companions.json")["mooncake"] if "least" in entry]
    (step,) = _commands(plan("--sglang", NEWEST, "--with", "mooncake"), "Mooncake")
    assert step["commands"][0] == f'uv pip install --no-deps "{entry["package"]}>={entry["least"]}"'


def test_vllm_is_installed_into_an_environment_of_its_own(plan: Any) -> None:
    (step,) = _commands(plan("--sglang", NEWEST, "--python", "3.12", "--with", "vllm"), "vLLM, in a second environment")
    assert step["commands"] == [
        'uv venv --python 3.12 "$VENV-vllm"', 'VIRTUAL_ENV="$VENV-vllm" uv pip install vllm'
    ]  # fmt: skip
