"""A plan as a script: every kind of action in it, read by sh and bash, and run with the programs stood in for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sgldoctor.actions.base import Action, Place
from sgldoctor.actions.kinds.load_module import LoadModule
from sgldoctor.actions.kinds.remove_cache import CACHES, RemoveCache
from sgldoctor.actions.kinds.set_env import SetEnv
from sgldoctor.actions.kinds.system_package import SystemPackage
from sgldoctor.actions.kinds.unset_env import UnsetEnv
from sgldoctor.actions.kinds.write_file import WriteFile
from sgldoctor.fix.plan import Left, Plan
from sgldoctor.fix.steps import Step
from sgldoctor.report.plan import script

HOSTILE = "a'b\"c $(touch evil) `touch evil` \\ ; touch evil #"
ACTIONS: tuple[Action, ...] = (
    SetEnv("SGLANG_A", HOSTILE),
    UnsetEnv("SGLANG_B"),
    WriteFile("~/.config/some app/x.conf", "one\n%s two\n"),
    WriteFile("/written/$HOME;touch evil", "x"),
    RemoveCache("triton"),
    LoadModule("nvidia_peermem"),
    SystemPackage(("libnuma1",)),
)
PLAN = Plan(
    (Step("uninstall", ("sgl-kernel",)), Step("install", ("sgl-kernel==0.3.21", "x<2;touch evil"), False, True)),
    (), ACTIONS, (Left("title\ntouch evil", "because\r\ntouch evil", ("first\ntouch evil",)),), (), (),
    ("why\ntouch evil",), "sglang serve m\ntouch evil",
)  # fmt: skip


@pytest.mark.parametrize("shell", ["sh", "bash", "dash"])
def test_script_runs_and_nothing_in_it_is_taken_for_a_command(tmp_path: Path, shell: str) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"no {shell}")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("python3", "modprobe", "apt-get", "sudo"):
        stub = programs / name
        stub.write_text(f'#!/bin/sh\nprintf "%s\\n" "{name}" "$@" >> "{tmp_path}/called"\n')
        stub.chmod(0o755)
    home = tmp_path / "home"
    cache = home / ".triton" / "cache"
    cache.mkdir(parents=True)
    text = script(PLAN, None, Place("", "", root=False)).replace("/written/", f"{tmp_path}/written/")
    path = tmp_path / "plan.sh"
    path.write_text(text)
    environ = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(home)}
    assert subprocess.run([program, "-n", str(path)], check=False).returncode == 0
    ran = subprocess.run([program, str(path)], env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, ""), text
    assert (tmp_path / "called").read_text().splitlines() == [
        "python3", "-m", "pip", "uninstall", "-y", "sgl-kernel",
        "python3", "-m", "pip", "install", "--force-reinstall", "--no-deps", "sgl-kernel==0.3.21", "x<2;touch evil",
        "sudo", "modprobe", "nvidia_peermem", "sudo", "apt-get", "install", "-y", "libnuma1",
    ]  # fmt: skip
    assert not cache.exists()
    assert (home / ".config" / "some app" / "x.conf").read_text() == "one\n%s two\n"
    assert (tmp_path / "written" / "$HOME;touch evil").read_text() == "x"
    assert not list(tmp_path.rglob("evil"))
    told = subprocess.run(
        [program, "-c", '. ./sgldoctor-env.sh; printf "%s|%s" "$SGLANG_A" "${SGLANG_B-unset}"'],
        env={**environ, "SGLANG_B": "1"}, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert told.stdout == f"{HOSTILE}|unset"


def test_caches_are_named_so_that_a_shell_finds_them(tmp_path: Path) -> None:
    for name in CACHES:
        command = RemoveCache(name).command()
        ran = subprocess.run(
            ["sh", "-c", command.replace("rm -rf --", "printf %s")],
            env={"HOME": str(tmp_path), "USER": "me", "PATH": "/usr/bin:/bin"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert ran.stdout.startswith("/")
        assert "$" not in ran.stdout
