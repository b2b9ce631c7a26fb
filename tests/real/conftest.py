"""Environments for the tests of repairs: one template with pip, one without, and a copy of one for each test."""

from __future__ import annotations

import ensurepip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real.envs import WHOLE, Env, build_wheels, variables


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheels")
    build_wheels(folder)
    return folder


def template(prefix: Path, wheels: Path, *more: str) -> Env:
    """A whole environment, to be copied by each test that breaks one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(prefix)], check=True, capture_output=True)
    env = Env(prefix, variables(prefix.parent), wheels)
    env.install(*WHOLE, *more)
    return env


@pytest.fixture(scope="session")
def uv_template(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    return template(tmp_path_factory.mktemp("uv") / "venv", wheels).prefix


@pytest.fixture(scope="session")
def pip_template(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    """With the pip that Python bundles, installed by uv: ensurepip takes ten times as long."""
    bundled = sorted((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
    if not bundled:
        pytest.skip("this Python bundles no pip")
    env = template(tmp_path_factory.mktemp("pip") / "venv", wheels, str(bundled[0]))
    command = [str(env.python), "-m", "pip", "install", "--dry-run", "--no-index", "--find-links", str(wheels), "numpy"]
    subprocess.run(command, env=env.environ, check=True, capture_output=True)  # compiles what is used of pip, once
    return env.prefix


def copy(template: Path, tmp_path: Path, wheels: Path) -> Env:
    shutil.copytree(template, tmp_path / "venv", symlinks=True)
    return Env(tmp_path / "venv", variables(tmp_path), wheels)


@pytest.fixture(params=["uv", "pip"])
def env(request: pytest.FixtureRequest, tmp_path: Path, wheels: Path) -> Env:
    """An environment repaired by uv where it has no pip, and by its own pip else.

    pip takes five times as long: tests of what is decided before an installer is chosen are marked ``uv_suffices``.
    """
    spared = request.node.get_closest_marker("uv_suffices") and not os.environ.get("SGLDOCTOR_THOROUGH")
    if request.param == "pip" and spared:
        pytest.skip("uv suffices; with pip, too, where SGLDOCTOR_THOROUGH=1")
    return copy(request.getfixturevalue(f"{request.param}_template"), tmp_path, wheels)


@pytest.fixture
def uv_env(uv_template: Path, tmp_path: Path, wheels: Path) -> Env:
    """An environment without pip."""
    return copy(uv_template, tmp_path, wheels)
