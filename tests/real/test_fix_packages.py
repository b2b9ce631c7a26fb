"""Repairs of real environments by real uv and real pip."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sgldoctor.errors import FixError
from sgldoctor.fix import journal
from sgldoctor.folders import state_folder
from tests.real.envs import CUDNN, KERNEL, UV, WHOLE, Env, variables
from tests.wheels import wheel

pytestmark = [pytest.mark.venv, pytest.mark.skipif(not UV, reason="no uv")]


def installer(env: Env) -> str:
    return "pip" if env.file("pip").exists() else "uv"


def fixed(env: Env, *options: str) -> int:
    return env.repair("--yes", "--installer", installer(env), *options)


def whole(env: Env) -> dict[str, str]:
    return {
        "flashinfer-cubin": "0.6.1", "flashinfer-python": "0.6.1", "numpy": "2.4.6", "nvidia-cudnn-cu12": "9.10.2.21",
        "nvidia-cusparselt-cu12": "0.7.1", "nvidia-nccl-cu12": "2.27.5", "sgl-kernel": "0.3.21", "sglang": "0.5.8",
        "torch": "2.9.1", "triton": "3.5.1",
    }  # fmt: skip


def test_whole_environment_has_nothing_to_repair(uv_env: Env, capsys: pytest.CaptureFixture[str]) -> None:
    env = uv_env
    assert env.versions() == whole(env)
    assert fixed(env) == 0
    assert "HEALTHY" in capsys.readouterr().out
    assert not Path(state_folder(env.environ)).exists()


def test_absent_wheel_is_installed_and_nothing_else_moves(env: Env, capsys: pytest.CaptureFixture[str]) -> None:
    env.uv("uninstall", "nvidia-cudnn-cu12")
    assert env.report().exit_status == 1
    assert fixed(env) == 0
    assert env.versions() == whole(env)
    assert env.file(CUDNN).exists()
    out = capsys.readouterr().out
    assert "nvidia-cudnn-cu12  -    9.10.2.21" in out
    assert "Repaired and verified" in out
    (entry,) = journal.read(state_folder(env.environ))
    assert (entry.end, entry.touched) == ("verified", {"nvidia-cudnn-cu12"})


@pytest.mark.parametrize("damage", ["gone", "short"])
def test_damaged_file_is_written_anew(env: Env, damage: str) -> None:
    file = env.file(CUDNN)
    intact = file.read_bytes()
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(intact[:50])
    assert fixed(env) == 0
    assert file.read_bytes() == intact
    assert env.versions() == whole(env)


def test_damage_that_reached_the_cache_through_a_hard_link_is_repaired(tmp_path: Path, wheels: Path) -> None:
    """uv links files out of its cache: what truncates one truncates both; a plain reinstall puts the damage back."""
    env = Env(tmp_path / "venv", {**variables(tmp_path), "UV_LINK_MODE": "hardlink"}, wheels)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(env.prefix)], check=True)
    env.install(*WHOLE)
    file = env.file(CUDNN)
    intact = file.read_bytes()
    assert file.stat().st_nlink > 1
    with file.open("r+b") as stream:
        stream.truncate(50)
    env.install("--reinstall", "--no-deps", "nvidia-cudnn-cu12==9.10.2.21")
    assert file.stat().st_size == 50, "uv has become wiser: the doctor need not clean its cache any more"
    assert env.repair("--yes") == 0
    assert file.read_bytes() == intact


def test_without_reinstall_a_damaged_file_stays_damaged(uv_env: Env) -> None:
    """Why recipes for damage say reinstall: to the installers nothing is to do."""
    env = uv_env
    env.file(CUDNN).unlink()
    env.install("--no-deps", "nvidia-cudnn-cu12==9.10.2.21")
    assert not env.file(CUDNN).exists()


def test_two_kernels(env: Env) -> None:
    env.install("--no-deps", "sglang-kernel==0.4.1")
    assert env.report().exit_status == 1
    assert fixed(env) == 0
    assert env.versions() == whole(env)
    assert b"0.3.21" in env.file(KERNEL).read_bytes()
    assert env.file("sgl_kernel/__init__.py").exists()


def test_wrong_kernel(uv_env: Env) -> None:
    env = uv_env
    env.install("--no-deps", "sgl-kernel==0.3.19")
    assert fixed(env) == 0
    assert env.versions() == whole(env)


def test_wheel_of_another_cuda_takes_no_files_with_it(uv_env: Env, capsys: pytest.CaptureFixture[str]) -> None:
    """Uninstalling one of two wheels that share files deletes them: the other one is reinstalled unasked."""
    env = uv_env
    env.install("--no-deps", "nvidia-cudnn-cu13==9.19.0.56")
    assert b"cu13" in env.file(CUDNN).read_bytes()
    assert fixed(env) == 0
    assert env.versions() == whole(env)
    assert b"cu12" in env.file(CUDNN).read_bytes()
    assert "shares files with nvidia-cudnn-cu13" in capsys.readouterr().out


def test_three_faults_at_once_are_one_transaction(env: Env) -> None:
    env.uv("uninstall", "nvidia-nccl-cu12", "numpy")
    env.install("--no-deps", "sgl-kernel==0.3.19", "flashinfer-python==0.5.3")
    env.file(CUDNN).unlink()
    assert fixed(env) == 0
    assert env.versions() == whole(env)
    assert env.report().exit_status == 0
    assert len(journal.read(state_folder(env.environ))) == 1


def test_moved_torch_is_only_put_back_when_asked(uv_env: Env, capsys: pytest.CaptureFixture[str]) -> None:
    env = uv_env
    env.install("torch==2.11.0")
    broken = env.versions()
    assert env.repair("--yes", "--installer", installer(env), "--dry-run") == 1
    out = capsys.readouterr().out
    assert "not done: repair torch-moved torch: it is marked unsafe: say --unsafe" in out
    assert "not done: repair cuda-mixed cudnn: torch has to be put back first" in out
    assert env.versions() == broken
    assert fixed(env, "--unsafe") == 0
    out = capsys.readouterr().out
    assert "triton" in out
    assert "shares files with nvidia-cudnn-cu13" in out
    assert env.versions() == whole(env)
    assert b"cu12" in env.file(CUDNN).read_bytes()


@pytest.mark.uv_suffices
def test_triton_comes_back_with_what_else_is_absent(env: Env) -> None:
    """A companion of torch, resolved beside the torch that is there: nothing unsafe, and in the same transaction."""
    env.uv("uninstall", "triton", "numpy", "nvidia-nccl-cu12")
    assert fixed(env) == 0
    assert env.versions() == whole(env)


@pytest.mark.uv_suffices
def test_torch_that_is_absent_or_another_is_not_brought_unasked(
    env: Env, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither to fit a companion, nor as the dependency of something else that is absent."""
    wheel(tmp_path / "more", "sglang", "0.5.8", ["torch==2.9.1", "grammar", "torchvision"], {"sglang/__init__.py": ""})
    wheel(tmp_path / "more", "grammar", "1.0", ["torch"])
    wheel(tmp_path / "more", "torchvision", "0.24.1", ["torch==2.9.1"])
    more = ("--find-links", str(tmp_path / "more"))
    env.install(*more, "--reinstall", "sglang==0.5.8")
    sound = env.versions()
    env.install("torch==2.11.0")
    env.uv("uninstall", "grammar", "torchvision")
    assert fixed(env, *more) == 1
    assert "it needs the torch that belongs here" in capsys.readouterr().out
    after = env.versions()
    assert (after["grammar"], after["torch"], "torchvision" in after) == ("1.0", "2.11.0", False)
    env.uv("uninstall", "grammar", "torch")
    with pytest.raises(FixError, match=r"bring torch 2\.9\.1, which is unsafe"):
        fixed(env, *more)
    assert fixed(env, *more, "--unsafe") == 0
    assert env.versions() == sound


def test_dry_run_changes_nothing(uv_env: Env, capsys: pytest.CaptureFixture[str]) -> None:
    env = uv_env
    env.uv("uninstall", "nvidia-cudnn-cu12")
    before = env.versions()
    assert env.repair("--dry-run", "--installer", installer(env)) == 1
    assert "nothing was changed" in capsys.readouterr().out
    assert env.versions() == before
    assert not Path(state_folder(env.environ)).exists()


def test_plan_as_a_script_does_what_the_doctor_would_do(env: Env, capsys: pytest.CaptureFixture[str]) -> None:
    env.install("--no-deps", "sglang-kernel==0.4.1")
    assert env.repair("--dry-run", "--format", "shell", "--installer", installer(env)) == 1
    script = capsys.readouterr().out
    subprocess.run(["sh", "-c", script], env=env.environ, check=True, capture_output=True)
    assert env.versions() == whole(env)


def test_without_consent_nothing_happens(uv_env: Env) -> None:
    env = uv_env
    env.uv("uninstall", "nvidia-cudnn-cu12")
    before = env.versions()
    assert env.repair("--installer", installer(env)) == 1
    assert env.versions() == before


def test_json_says_what_was_done(uv_env: Env, capsys: pytest.CaptureFixture[str]) -> None:
    env = uv_env
    env.uv("uninstall", "nvidia-cudnn-cu12")
    assert fixed(env, "--format", "json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["fixed"]["result"] == "verified"
    assert report["fixed"]["gone"] == ["wheel-missing nvidia-cudnn-cu12"]
    assert report["fixed"]["results"] == [
        {"do": "install", "packages": ["nvidia-cudnn-cu12==9.10.2.21"], "result": "done"}
    ]


def test_wheel_that_cannot_be_had_is_refused_before_anything_changes(env: Env, tmp_path: Path) -> None:
    env.uv("uninstall", "nvidia-cudnn-cu12", "nvidia-nccl-cu12")
    before = env.versions()
    (tmp_path / "few").mkdir()
    shutil.copy(next(env.wheels.glob("nvidia_nccl*")), tmp_path / "few")
    with pytest.raises(FixError, match=r"cannot resolve.*nvidia-cudnn-cu12"):
        env._replace(wheels=tmp_path / "few").repair("--yes", "--installer", installer(env))
    assert env.versions() == before
    assert not journal.read(state_folder(env.environ))


def test_repair_that_does_not_prove_itself_is_taken_back(
    env: Env, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A wheel with the right name and version and without the file that matters: verification fails."""
    env.uv("uninstall", "nvidia-nccl-cu12")
    env.file(CUDNN).unlink()
    from tests.wheels import wheel

    hollow = tmp_path / "hollow"
    shutil.copytree(env.wheels, hollow)
    wheel(hollow, "nvidia-nccl-cu12", "2.27.5", ["absent-thing==1"], {"nvidia/nccl/lib/libnccl.so.2": "x"})
    bad = wheel(hollow, "nvidia-cudnn-cu12", "9.10.2.21", (), {CUDNN: "short"})
    # RECORD promises more than the wheel holds, as after a botched upload.
    _promise(bad, CUDNN, 5000)
    before = env.versions()
    assert env._replace(wheels=hollow).repair("--yes", "--installer", installer(env)) != 0
    assert "taken back" in capsys.readouterr().out
    assert env.versions() == before
    (entry,) = journal.read(state_folder(env.environ))
    assert entry.end == "rolled-back"


def _promise(path: Path, member: str, size: int) -> None:
    import zipfile

    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    for name, data in content.items():
        if name.endswith("RECORD"):
            lines = [line for line in data.decode().splitlines() if not line.startswith(member)]
            content[name] = "\n".join([*lines, f"{member},,{size}", ""]).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
