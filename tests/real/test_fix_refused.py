"""What is refused before anything changes, and what is only warned of."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sgldoctor.errors import FixError
from sgldoctor.fix import journal, preflight
from sgldoctor.fix.install import Settings, choose
from sgldoctor.fix.pipconf import for_uv
from sgldoctor.folders import state_folder
from tests.real.envs import CUDNN, UV, Env

pytestmark = [pytest.mark.venv, pytest.mark.skipif(not UV, reason="no uv")]


@pytest.fixture
def broken(uv_env: Env) -> Env:
    uv_env.uv("uninstall", "nvidia-cudnn-cu12")
    return uv_env


def refused(env: Env, match: str, *options: str) -> None:
    before = env.versions()
    with pytest.raises(FixError, match=match):
        env.repair("--yes", *options)
    assert env.versions() == before
    assert not journal.read(state_folder(env.environ))


def test_neither_pip_nor_uv(broken: Env) -> None:
    refused(broken, "has no pip", "--installer", "pip")


def test_environment_of_the_system(broken: Env) -> None:
    """PEP 668: the marker lies in the standard library of an interpreter that is no virtual environment's."""
    (broken.prefix / "pyvenv.cfg").unlink()
    for link in broken.prefix.glob("bin/python*"):
        link.unlink()
    broken.python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    broken.python.chmod(0o755)
    (broken.site.parent / "EXTERNALLY-MANAGED").write_text("[externally-managed]\nError=use apt\n")
    target = broken.target()._replace(
        kind="system", python=str(broken.python), prefix=str(broken.prefix), sites=(str(broken.site),)
    )
    from tests.real import envs

    report = envs.examine(target)
    assert report.facts.value("python", "externally_managed") is True
    with pytest.raises(FixError, match="PEP 668"):
        envs.repair(target, ["--yes", "--find-links", str(broken.wheels), "--no-index"])
    assert not broken.file(CUDNN).exists()


@pytest.mark.skipif(os.geteuid() == 0 and not os.path.exists("/usr/bin/chattr"), reason="root writes everywhere")
def test_site_packages_that_cannot_be_written(broken: Env) -> None:
    site = broken.site
    if os.geteuid() == 0:
        made = subprocess.run(["chattr", "+i", str(site)], capture_output=True, check=False)
        if made.returncode:
            pytest.skip("this file system has no immutable folders")
        try:
            refused(broken, "cannot be written")
        finally:
            subprocess.run(["chattr", "-i", str(site)], check=True)
    else:
        site.chmod(0o555)
        try:
            refused(broken, "cannot be written")
        finally:
            site.chmod(0o755)


def test_editable_install_is_not_replaced(broken: Env) -> None:
    broken.install("nvidia-cudnn-cu12==9.16.0.29", "--no-deps")
    broken.file(CUDNN).unlink()
    (info,) = broken.site.glob("nvidia_cudnn_cu12-*.dist-info")
    (info / "direct_url.json").write_text('{"url": "file:///src/cudnn", "dir_info": {"editable": true}}')
    refused(broken, "editable install of file:///src/cudnn")


def test_package_of_conda_is_not_overwritten(broken: Env) -> None:
    broken.install("nvidia-cudnn-cu12==9.10.2.21", "--no-deps")
    broken.file(CUDNN).unlink()
    (info,) = broken.site.glob("nvidia_cudnn_cu12-*.dist-info")
    (info / "INSTALLER").write_text("conda\n")
    refused(broken, "installed by conda")


def test_unpacked_image_is_only_examined(broken: Env, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from tests.real import envs

    target = broken.target()._replace(root=str(tmp_path), prefix="/venv", python="/venv/bin/python",
                                      sites=("/venv/" + str(broken.site.relative_to(broken.prefix)),))  # fmt: skip
    with pytest.raises(FixError, match="only examined"):
        envs.repair(target, ["--yes"])
    capsys.readouterr()
    # Its script is for the image, also where the interpreter of the environment lies outside of what is unpacked.
    assert envs.repair(target._replace(python=""), ["--dry-run", "--format", "shell"]) == 1
    assert "--python /venv/bin/python --no-deps nvidia-cudnn-cu12==9.10.2.21" in capsys.readouterr().out


def test_server_that_uses_the_environment_is_named(broken: Env, capsys: pytest.CaptureFixture[str]) -> None:
    # A child is only there for `/proc` once it runs: between fork and exec its command line is empty or its parent's.
    with subprocess.Popen(
        [str(broken.python), "-c", "import time; print(flush=True); time.sleep(60)"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stdout.readline()
            assert [pid for pid, _ in preflight.users(broken.target())] == [server.pid]
            assert broken.repair("--dry-run") == 1
            assert f"process {server.pid} uses this environment" in capsys.readouterr().out
        finally:
            server.kill()


def test_journal_that_cannot_be_written_stops_the_repair(broken: Env) -> None:
    folder = Path(state_folder(broken.environ))
    (folder / journal.NAME).mkdir(parents=True)
    with pytest.raises(FixError, match="Is a directory"):
        broken.repair("--yes")
    assert not broken.file(CUDNN).exists()


def test_settings_of_pip_reach_uv(tmp_path: Path) -> None:
    conf = tmp_path / "pip.conf"
    conf.write_text(
        "[global]\nindex-url = https://mirror.example/simple\nfind-links =\n  /a\n  /b\n[install]\nno-index = yes\n"
    )
    environ = {
        "HOME": str(tmp_path),
        "PIP_CONFIG_FILE": str(conf),
        "PIP_EXTRA_INDEX_URL": "https://more.example/simple",
    }
    found, no_index = for_uv(str(tmp_path), environ)
    assert no_index
    assert found["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    assert found["UV_INDEX"] == "https://more.example/simple"
    assert found["UV_FIND_LINKS"] == "/a,/b"
    assert for_uv(str(tmp_path), {**environ, "UV_INDEX_URL": "https://mine.example"}) == ({}, False)
    (tmp_path / ".config" / "uv").mkdir(parents=True)
    uv_toml = tmp_path / ".config" / "uv" / "uv.toml"
    uv_toml.write_text('link-mode = "copy"\n')
    assert for_uv(str(tmp_path), environ) == (found, True), "it names no place of wheels: that of pip's file counts"
    uv_toml.write_text('[pip]\nindex-url = "https://mine.example"\n')
    assert for_uv(str(tmp_path), environ) == ({}, False)


def test_repair_by_settings_of_pip_alone(broken: Env, tmp_path: Path) -> None:
    """No option names the wheels: a pip.conf of the user does, and uv is used."""
    from tests.real import envs

    conf = tmp_path / "pip.conf"
    conf.write_text(f"[global]\nno-index = true\nfind-links = {broken.wheels}\n")
    environ = {name: value for name, value in broken.environ.items() if name != "UV_NO_CONFIG"}
    target = broken._replace(environ={**environ, "PIP_CONFIG_FILE": str(conf)}).target()
    assert choose(target, Settings(), has_pip=False).settings.no_index
    assert envs.repair(target, ["--yes"]) == 0
    assert broken.file(CUDNN).exists()


@pytest.mark.parametrize("form", ["human", "json"])
def test_refusal_is_status_1_with_the_reason_in_every_format(
    broken: Env, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    from sgldoctor.cli import fix
    from tests.real import envs

    report, args = broken.report(), envs.arguments(["--yes", "--installer", "pip", "--format", form])
    assert fix.repair(report, broken.target(), args, envs.examine) == 1
    said = capsys.readouterr()
    assert "has no pip" in said.err
    if form == "json":
        fixed = json.loads(said.out)["fixed"]
        assert fixed["result"] == "failed"
        assert "has no pip" in fixed["because"]


def hashed(env: Env, folder: Path, *stems: str) -> Path:
    """A constraint file with the hashes of some wheels, as ``uv pip compile --generate-hashes`` lays it out."""
    import hashlib

    lines = []
    for stem in stems:
        (wheel,) = env.wheels.glob(f"{stem}-*.whl")
        name, version = wheel.name.split("-")[:2]
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        lines.append(f"{name.replace('_', '-')}=={version} \\\n    --hash=sha256:{digest}\n")
    path = folder / "hashes.txt"
    path.write_text("".join(lines))
    return path


def by(env: Env) -> tuple[str, str]:
    """The installer that the environment is meant for: its own pip where it has one."""
    return ("--installer", "pip" if env.file("pip").exists() else "uv")


@pytest.mark.parametrize("told", ["variable", "pip.conf"])
def test_hashes_are_kept_where_they_are_required(env: Env, tmp_path: Path, told: str) -> None:
    env.uv("uninstall", "nvidia-cudnn-cu12", "numpy")
    before = env.versions()
    required = {"UV_REQUIRE_HASHES": "1", "PIP_REQUIRE_HASHES": "1"}
    if told == "pip.conf":  # uv is told of what pip has been told
        (tmp_path / "pip.conf").write_text("[install]\nrequire-hashes = true\n")
        required = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf")}
    with pytest.raises(FixError, match="no --constraint file pins numpy with a hash"):
        env.repair(*by(env), "--yes", **required)
    wrong = hashed(env, tmp_path, "numpy", "nvidia_cudnn_cu12-9.10.2.21")
    wrong.write_text(wrong.read_text().replace("sha256:", "sha256:" + "0" * 8)[:-9] + "\n")
    with pytest.raises(FixError):
        env.repair(*by(env), "--yes", "--constraint", str(wrong), **required)
    assert env.versions() == before
    right = hashed(env, tmp_path, "numpy", "nvidia_cudnn_cu12-9.10.2.21")
    assert env.repair(*by(env), "--yes", "--constraint", str(right), **required) == 0
    assert env.versions()["numpy"] == "2.4.6"


@pytest.mark.parametrize("where", ["user", "named"])
def test_hashes_that_uv_toml_requires(uv_env: Env, tmp_path: Path, where: str) -> None:
    env = uv_env
    env.uv("uninstall", "numpy")
    path = tmp_path / "config" / "uv" / "uv.toml" if where == "user" else tmp_path / "uv.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("[pip]\nrequire-hashes = true\n")
    required = {"UV_NO_CONFIG": "false"} if where == "user" else {"UV_NO_CONFIG": "false", "UV_CONFIG_FILE": str(path)}
    with pytest.raises(FixError, match="no --constraint file pins numpy with a hash"):
        env.repair("--yes", **required)
    right = hashed(env, tmp_path, "numpy")
    assert env.repair("--yes", "--constraint", str(right), **required) == 0
    assert env.versions()["numpy"] == "2.4.6"


def test_what_no_hash_could_bring_back_is_said_before(
    env: Env, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env.install("--no-deps", "sgl-kernel==0.3.19")
    listed = hashed(env, tmp_path, "sgl_kernel-0.3.21")
    required = {"UV_REQUIRE_HASHES": "1", "PIP_REQUIRE_HASHES": "1"}
    assert env.repair(*by(env), "--dry-run", "--constraint", str(listed), **required) == 1
    assert "no --constraint file has a hash of sgl-kernel==0.3.19" in capsys.readouterr().out
