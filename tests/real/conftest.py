"""Environments for the tests of repairs: one template with pip, one without, and a copy of one for each test."""

from __future__ import annotations

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


def template(prefix: Path, wheels: Path, *options: str) -> Path:
    """A whole environment, to be copied by each test that breaks one."""
    subprocess.run([sys.executable, "-m", "venv", *options, str(prefix)], check=True, capture_output=True)
    Env(prefix, variables(prefix.parent), wheels).install(*WHOLE)
    return prefix


@pytest.fixture(scope="session")
def uv_template(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    return template(tmp_path_factory.mktemp("uv") / "venv", wheels, "--without-pip")


@pytest.fixture(scope="session")
def pip_template(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Path:
    return template(tmp_path_factory.mktemp("pip") / "venv", wheels)


def copy(template: Path, tmp_path: Path, wheels: Path) -> Env:
    shutil.copytree(template, tmp_path / "venv", symlinks=True)
    return Env(tmp_path / "venv", variables(tmp_path), wheels)


@pytest.fixture(params=["uv", "pip"])
def env(request: pytest.FixtureRequest, tmp_path: Path, wheels: Path) -> Env:
    """An environment repaired by uv where it has no pip, and by its own pip else."""
    return copy(request.getfixturevalue(f"{request.param}_template"), tmp_path, wheels)


@pytest.fixture
def uv_env(uv_template: Path, tmp_path: Path, wheels: Path) -> Env:
    """An environment without pip."""
    return copy(uv_template, tmp_path, wheels)
