"""Wheels that own files of one another, Python files too: whoever loses files to a repair gets them back in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sgldoctor.fix import journal
from sgldoctor.fix.sharing import sharers
from sgldoctor.folders import state_folder
from tests.real.envs import UV, Env
from tests.real.test_fix_undo import undo
from tests.wheels import wheel

pytestmark = [pytest.mark.venv, pytest.mark.skipif(not UV, reason="no uv")]

OWN = {"deep_gemm/__init__.py": "mine = True\n", "deep_gemm/jit/build.py": "mine = 'build'\n", "setup.py": "mine\n"}
STRAY = {"sgl_kernel/__init__.py": "", "sgl_kernel/version.py": "v = '0.4.1'\n"}
BUNDLED = {"deep_gemm/__init__.py": "stray = True\n", "deep_gemm/jit/build.py": "stray = 'build'\n"}


def files(env: Env) -> dict[str, str]:
    return {path: env.file(path).read_text() for path in OWN}


def fixed(env: Env, folder: Path, *options: str) -> int:
    kind = "pip" if env.file("pip").exists() else "uv"
    return env.repair("--yes", "--installer", kind, "--find-links", str(folder), *options)


def test_python_files_that_a_stray_kernel_has_overwritten_come_back(
    env: Env, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel(tmp_path / "more", "sgl-deep-gemm", "0.2.3", (), OWN)
    wheel(tmp_path / "stray", "sglang-kernel", "0.4.1", (), {**STRAY, **BUNDLED})
    env.uv("install", "--no-index", "--no-deps", "--find-links", str(tmp_path / "more"), "sgl-deep-gemm")
    sound = env.versions()
    env.uv("install", "--no-index", "--no-deps", str(next((tmp_path / "stray").glob("*.whl"))))
    assert "stray" in env.file("deep_gemm/__init__.py").read_text()
    broken = env.versions()
    assert fixed(env, tmp_path / "more") == 0
    assert (env.versions(), files(env)) == (sound, OWN)
    assert "sgl-deep-gemm shares files with sglang-kernel, which is uninstalled" in capsys.readouterr().out
    (entry,) = journal.read(state_folder(env.environ))
    assert broken.keys() - sound.keys() == {"sglang-kernel"} <= entry.touched
    done = undo(env, "--find-links", str(tmp_path / "more"))
    assert (done.returncode, done.stderr) == (0, "")
    assert env.versions() == broken
    assert "stray" in env.file("deep_gemm/__init__.py").read_text()


@pytest.mark.uv_suffices
def test_files_shared_with_what_a_dependency_replaces(env: Env, tmp_path: Path) -> None:
    """Not the plan but the installer's answer tells that the other triton goes, and it has overwritten another's."""
    more = tmp_path / "more"
    wheel(more, "triton-kernels", "1.0", (), {"triton_kernels/__init__.py": "mine = True\n"})
    wheel(more, "triton", "3.7.0", (), {"triton.py": "v = 7\n", "triton_kernels/__init__.py": "triton's = True\n"})
    shown = {"torch/__init__.py": "", "torch/version.py": "__version__ = '2.12.0+cu128'\ncuda = '12.8'\n"}
    wheel(more, "torch", "2.12.0", ["triton==3.7.0"], shown)
    links = ["--no-index", "--find-links", str(more)]
    env.uv("install", *links, "triton-kernels")
    sound = env.versions()
    env.uv("install", *links, "torch==2.12.0")
    assert "triton's" in env.file("triton_kernels/__init__.py").read_text()
    assert fixed(env, more, "--unsafe") == 0
    assert (env.versions(), env.file("triton_kernels/__init__.py").read_text()) == (sound, "mine = True\n")


def test_what_is_shared_by_accident_moves_nobody(uv_env: Env, tmp_path: Path) -> None:
    """Empty files of a common folder, and build scripts at the top that a new version brings again."""
    env, more = uv_env, tmp_path / "more"
    wheel(more, "one", "1", (), {"shared/__init__.py": "", "one.py": "1", "setup.py": "one", "shared/x.pyc": "one"})
    wheel(more, "two", "1", (), {"shared/__init__.py": "", "two.py": "2", "setup.py": "two", "shared/x.pyc": "two"})
    env.uv("install", "--no-index", "--no-deps", "--find-links", str(more), "one", "two")
    assert sharers(env.target(), (), ["one"]) == []
    assert sharers(env.target(), ["one"], ()) == [("two", "one")], "an uninstall takes setup.py with it"
    assert sharers(env.target(), ["one", "two"], ()) == []
