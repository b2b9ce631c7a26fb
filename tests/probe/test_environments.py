"""Finding the environment, by its files; real virtual environments and folders laid out as Debian, conda and uv do."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sgldoctor.errors import InputError
from sgldoctor.probe.environments import find
from sgldoctor.probe.packages import packages

MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment made by this very Python, without pip."""
    folder = tmp_path_factory.mktemp("real") / "env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return folder


def layout(folder: Path, minor: str = "3.11", *, cfg: str | None = "", files: tuple[str, ...] = ()) -> Path:
    """A virtual environment as folders and files only."""
    (folder / f"lib/python{minor}/site-packages").mkdir(parents=True)
    (folder / "bin").mkdir()
    (folder / "bin/python").write_text("not run")
    if cfg is not None:
        (folder / "pyvenv.cfg").write_text(f"home = /usr/bin\nversion_info = {minor}.4.final.0\n{cfg}")
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text("x")
    return folder


def asked(python: Path) -> tuple[list[str], str, str]:
    """What the interpreter itself says: its site folders, prefix and version."""
    code = "import site,sys;print(site.getsitepackages(), sys.prefix, sys.version.split()[0], sep='|')"
    sites, prefix, version = (
        subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip().split("|")
    )
    return [part.strip(" []'") for part in sites.split(",")], prefix, version


@pytest.mark.parametrize("how", ["venv", "python", "VIRTUAL_ENV", "PATH"])
def test_a_real_virtual_environment(real: Path, how: str) -> None:
    environ = {"PATH": os.environ["PATH"]}
    if how == "VIRTUAL_ENV":
        environ["VIRTUAL_ENV"] = str(real)
    if how == "PATH":
        environ["PATH"] = f"{real / 'bin'}:{environ['PATH']}"
    python = str(real / "bin/python") if how == "python" else None
    target = find(python, str(real) if how == "venv" else None, None, environ)
    sites, prefix, version = asked(real / "bin/python")
    assert list(target.sites) == sites
    assert (target.prefix, target.version, target.kind, target.root) == (prefix, version, "venv", "/")
    assert how in target.chosen


def test_the_interpreter_of_the_system_says_what_its_files_say(tmp_path: Path) -> None:
    base = Path(os.path.realpath(sys.executable))
    target = find(str(base), None, None, {"PATH": ""})
    sites, prefix, _ = asked(base)
    assert set(target.sites) >= {site for site in sites if os.path.isdir(site)}
    assert target.prefix == prefix
    assert target.kind in {"system", "conda"}


def test_a_wrapper_script_is_asked_who_it_is(tmp_path: Path) -> None:
    shim = tmp_path / "python3"
    shim.write_text(f'#!/bin/sh\nexec {os.path.realpath(sys.executable)} "$@"\n')
    shim.chmod(0o755)
    target = find(str(shim), None, None, {})
    assert target.version.startswith(MINOR)
    assert os.path.realpath(target.python) == os.path.realpath(sys.executable)


@pytest.mark.parametrize(
    ("python", "venv", "words"),
    [
        ("{}/nothing", None, "no such file"),
        ("{}/dangling", None, "a link to a file that is gone"),
        ("{}", None, "a folder"),
        ("no-such-python-3.99", None, "not found on PATH"),
        ("/bin/ls", None, "not a Python interpreter"),
        ("{}/text", None, "cannot be started"),
        (None, "{}/nowhere", "no such folder"),
        (None, "{}", "no Python environment"),
    ],
)
def test_what_is_no_environment_is_one_clear_line(
    tmp_path: Path, python: str | None, venv: str | None, words: str
) -> None:
    (tmp_path / "dangling").symlink_to("/nowhere/python3")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(InputError, match=words) as caught:
        find(python and python.format(tmp_path), venv and venv.format(tmp_path), None, {"PATH": "/bin"})
    assert "\n" not in str(caught.value)


def test_nothing_at_all_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--python PATH or --venv DIR"):
        find(None, None, None, {"PATH": str(tmp_path)})
    with pytest.raises(InputError, match="no such folder"):
        find(None, None, str(tmp_path / "root"), {})


def test_an_environment_whose_interpreter_is_gone_is_still_read(tmp_path: Path) -> None:
    env = layout(tmp_path / "env")
    (env / "bin/python").unlink()
    (env / "bin/python").symlink_to("/nowhere/python3.11")
    target = find(None, str(env), None, {})
    assert target.python == ""
    assert "/nowhere/python3.11" in target.chosen
    assert target.version == "3.11.4"


def test_conda(tmp_path: Path) -> None:
    env = layout(tmp_path / "env", cfg=None, files=("conda-meta/python-3.11.9-h955ad1f_0.json",))
    target = find(None, None, None, {"CONDA_PREFIX": str(env)})
    assert (target.kind, target.version, target.prefix) == ("conda", "3.11.9", str(env))


def test_a_stale_virtual_env_is_passed_over_and_said(tmp_path: Path, real: Path) -> None:
    target = find(None, None, None, {"VIRTUAL_ENV": str(tmp_path / "gone"), "PATH": str(real / "bin")})
    assert target.prefix == str(real)
    assert "gone" in target.chosen


@pytest.mark.skipif(sys.prefix == sys.base_prefix, reason="needs a virtual environment of the doctor's own")
def test_the_doctors_own_environment_is_taken_last(real: Path, tmp_path: Path) -> None:
    """``uvx`` and ``pipx`` put the tool's environment first on PATH; SGLang is not in there."""
    own = f"{sys.prefix}/bin"
    assert find(None, None, None, {"PATH": f"{own}:{real / 'bin'}"}).prefix == str(real)
    assert find(None, None, None, {"PATH": own}).prefix == sys.prefix
    assert find(None, None, None, {"PATH": f"{real / 'bin'}", "VIRTUAL_ENV": sys.prefix}).prefix == sys.prefix


def test_path_files_add_folders_and_never_run(tmp_path: Path) -> None:
    env = layout(tmp_path / "env")
    site = env / "lib/python3.11/site-packages"
    source = tmp_path / "source"
    source.mkdir()
    (site / "inner").mkdir()
    trap = tmp_path / "trap"
    (site / "a.pth").write_text(f"# comment\n{source}\ninner\n/nowhere\nimport os; open({str(trap)!r}, 'w')\n")
    target = find(None, str(env), None, {})
    assert target.sites == (str(site), str(source), str(site / "inner"))
    assert not trap.exists()


def test_the_finder_of_an_editable_install_leads_to_its_sources(tmp_path: Path) -> None:
    site, source = tmp_path / "lib/python3.11/site-packages", tmp_path / "checkout/python"
    (source / "sglang").mkdir(parents=True)
    site.mkdir(parents=True)
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.11.7\n")
    (site / "__editable__.sglang-0.5.8.pth").write_text("import __editable___sglang_0_5_8_finder; f.install()\n")
    finder = (
        f"MAPPING: dict[str, str] = {{'sglang': '{source}/sglang', 'gone': '/gone/gone'}}\nNAMESPACES = {{'a': '/b'}}\n"
    )
    (site / "__editable___sglang_0_5_8_finder.py").write_text(finder)
    assert find(None, str(tmp_path), None, {}).sites == (str(site), str(source))


def test_user_site_and_python_path(tmp_path: Path) -> None:
    base = tmp_path / "base"
    (base / "lib/python3.11/site-packages").mkdir(parents=True)
    (base / "lib/python3.11/os.py").write_text("")
    (base / "bin").mkdir()
    (base / "bin/python3.11").write_text("not run")
    user = tmp_path / "home/.local/lib/python3.11/site-packages"
    user.mkdir(parents=True)
    extra = tmp_path / "extra"
    (extra / "torch-1.0.dist-info").mkdir(parents=True)
    environ = {"HOME": str(tmp_path / "home"), "PYTHONPATH": f"{extra}:{tmp_path}"}
    python = str(base / "bin/python3.11")
    site = str(base / "lib/python3.11/site-packages")
    assert find(python, None, None, environ).sites == (str(extra), str(user), site)
    assert find(python, None, None, {**environ, "PYTHONNOUSERSITE": "1"}).sites == (str(extra), site)


def test_system_site_packages_of_a_virtual_environment(tmp_path: Path) -> None:
    base = tmp_path / "base"
    (base / "lib/python3.11/site-packages").mkdir(parents=True)
    env = layout(tmp_path / "env", cfg="include-system-site-packages = true\n")
    (env / "pyvenv.cfg").write_text(f"home = {base}/bin\nversion = 3.11.4\ninclude-system-site-packages = true\n")
    target = find(None, str(env), None, {})
    assert target.sites == (str(env / "lib/python3.11/site-packages"), str(base / "lib/python3.11/site-packages"))


@pytest.mark.skipif(not os.path.exists(f"/proc/{os.getpid()}/root/proc"), reason="no /proc")
def test_the_root_of_a_process_brings_its_variables_and_reads_the_same(real: Path) -> None:
    process = subprocess.Popen(["sleep", "60"], env={"LD_LIBRARY_PATH": "/opt/lib", "VIRTUAL_ENV": str(real)})
    try:
        # The kernel lays out the variables a moment after the program has taken the place of its parent's copy.
        while not Path(f"/proc/{process.pid}/environ").read_bytes():
            time.sleep(0.01)
        target = find(None, None, f"/proc/{process.pid}/root", {"LD_LIBRARY_PATH": "/mine"})
        assert (target.prefix, target.environ["LD_LIBRARY_PATH"]) == (str(real), "/opt/lib")
        there = packages(find(sys.executable, None, f"/proc/{process.pid}/root", {}))
    finally:
        process.kill()
        process.wait()
    here = packages(find(sys.executable, None, None, {}))
    assert there.rows("packages") == here.rows("packages") != ()


class TestImage:
    """An unpacked image: nothing outside its root counts, and its links stay inside."""

    @pytest.fixture
    def root(self, tmp_path: Path) -> Path:
        root = tmp_path / "image"
        layout(root / "data/env", files=("lib/python3.11/site-packages/sglang/__init__.py",))
        layout(root / "opt/other")
        (root / "usr/bin").mkdir(parents=True)
        (root / "usr/lib/python3.12").mkdir(parents=True)
        (root / "usr/lib/python3.12/os.py").write_text("")
        (root / "usr/lib/python3/dist-packages").mkdir(parents=True)
        (root / "usr/bin/python3.12").write_text("not run")
        (root / "usr/bin/python3").symlink_to("python3.12")
        (root / "opt/venv").symlink_to("/data/env")
        return root

    def test_the_environment_that_serves_models_is_found(self, root: Path) -> None:
        target = find(None, None, str(root), {"VIRTUAL_ENV": "/opt/other", "PATH": "/opt/other/bin"})
        assert target.prefix in {"/data/env", "/opt/venv"}
        assert target.environ == {}
        assert target.root == str(root)
        assert target.chosen.startswith(f"found under {root}")
        assert os.path.isdir(target.path(target.prefix)) or target.prefix == "/opt/venv"

    def test_a_linked_environment_and_its_interpreter(self, root: Path) -> None:
        for venv in ("/opt/venv", str(root / "opt/venv")):
            target = find(None, venv, str(root), {})
            assert (target.prefix, target.python) == ("/opt/venv", "/opt/venv/bin/python")
            assert target.sites == ("/opt/venv/lib/python3.11/site-packages",)

    def test_the_python_of_a_distribution(self, root: Path) -> None:
        target = find("/usr/bin/python3", None, str(root), {})
        assert target.sites == ("/usr/lib/python3/dist-packages",)
        assert (target.version, target.kind) == ("3.12", "system")

    def test_nothing_of_an_image_is_started(self, root: Path) -> None:
        marker = root / "started"
        script = root / "usr/bin/mypython"
        script.write_text(f"#!/bin/sh\ntouch {marker}\n")
        script.chmod(0o755)
        with pytest.raises(InputError, match="from its files"):
            find("/usr/bin/mypython", None, str(root), {})
        assert not marker.exists()
