"""What goes wrong in the middle of a repair: killed, disk full, index gone, wheel broken, permission lost."""

from __future__ import annotations

import functools
import http.server
import json
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sgldoctor.errors import FixError
from sgldoctor.fix import journal
from sgldoctor.folders import state_folder
from tests.real.envs import CUDNN, KERNEL, UV, Env
from tests.wheels import wheel

pytestmark = [pytest.mark.venv, pytest.mark.skipif(not UV, reason="no uv")]

ROOT = Path(__file__).resolve().parents[2]
POINTS = 20 if os.environ.get("SGLDOCTOR_THOROUGH") else 7
"""All twenty points take a minute; seven of them are a sample."""


def ends(env: Env) -> list[str]:
    return [entry.end for entry in journal.read(state_folder(env.environ))]


def test_killed_at_any_point_the_repair_is_named_and_taken_back(uv_env: Env) -> None:
    env = uv_env
    env.install("--no-deps", "sglang-kernel==0.4.1")
    env.uv("uninstall", "numpy", "nvidia-cudnn-cu12")
    env.file(CUDNN).unlink(missing_ok=True)
    name = "SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK"
    command = [sys.executable, "-m", "tests.real.killed", str(env.prefix), str(env.wheels), str(POINTS)]
    ran = subprocess.run(
        command, env={**env.environ, name: "4096"}, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    first, *points = [json.loads(line) for line in ran.stdout.splitlines()]
    assert (first["undone"], first["same"]) == (0, True)
    assert first["total"] > POINTS
    assert len(points) == POINTS
    for told in points:
        assert told["same"], told
        assert told["undone"] == 0, told
        # Nothing is ever changed that the journal does not name.
        assert told["named"] or told["survived"] or not told["changed"], told
    assert any(told["changed"] and not told["survived"] for told in points)


def big_wheels(folder: Path, wheels: Path) -> Path:
    """The wheels, the right cuDNN and kernel with 3 MB each that do not compress."""
    shutil.copytree(wheels, folder)
    noise = random.Random(1).randbytes(3_000_000)
    wheel(folder, "nvidia-cudnn-cu12", "9.10.2.21", (), {CUDNN: noise})
    kernel: dict[str, bytes | str] = {"sgl_kernel/__init__.py": "", KERNEL: noise}
    wheel(folder, "sgl-kernel", "0.3.21", (), kernel)
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 20 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=20m,nr_inodes=20k", "none", str(place)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("a file system cannot be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path, leave: int) -> None:
    space = os.statvfs(place)
    with (place / "ballast").open("wb") as stream:
        stream.write(b"\1" * max(space.f_bavail * space.f_frsize - leave, 0))


@pytest.mark.parametrize("fault", ["no cudnn", "old kernel"])
def test_full_disk_loses_nothing(uv_env: Env, small_disk: Path, tmp_path: Path, fault: str) -> None:
    shutil.copytree(uv_env.prefix, small_disk / "venv", symlinks=True)
    environ = {**uv_env.environ, "UV_LINK_MODE": "copy"}
    env = Env(small_disk / "venv", environ, big_wheels(tmp_path / "big", uv_env.wheels))
    if fault == "no cudnn":
        env.uv("uninstall", "nvidia-cudnn-cu12")
    else:
        env.install("--no-deps", "sgl-kernel==0.3.19")
    before = env.versions()
    fill(small_disk, 1_000_000)
    with pytest.raises(FixError, match="taken back") as caught:
        env.repair("--yes", "--installer", "uv")
    assert "No space left" in str(caught.value) or "os error 28" in str(caught.value)
    assert env.versions() == before
    assert ends(env) == ["rolled-back"]
    if fault == "old kernel":
        assert b"0.3.19" in env.file(KERNEL).read_bytes()
    (small_disk / "ballast").unlink()
    assert env.repair("--yes", "--installer", "uv") == 0


def test_full_disk_under_the_journal_stops_the_repair(uv_env: Env, small_disk: Path) -> None:
    env = Env(uv_env.prefix, {**uv_env.environ, "XDG_STATE_HOME": str(small_disk / "state")}, uv_env.wheels)
    env.uv("uninstall", "nvidia-cudnn-cu12")
    before = env.versions()
    fill(small_disk, 0)
    with pytest.raises(FixError, match="No space left"):
        env.repair("--yes", "--installer", "uv")
    assert env.versions() == before


def test_wheel_that_is_corrupt_changes_nothing(uv_env: Env, tmp_path: Path) -> None:
    env = uv_env
    env.uv("uninstall", "nvidia-cudnn-cu12", "nvidia-nccl-cu12")
    before = env.versions()
    folder = tmp_path / "corrupt"
    shutil.copytree(env.wheels, folder)
    (victim,) = folder.glob("nvidia_cudnn_cu12-9.10*.whl")
    data = bytearray(victim.read_bytes())
    data[60:160] = bytes(100)  # inside the first member: the directory of the archive is whole, its content is not
    victim.write_bytes(data)
    with pytest.raises(FixError):
        Env(env.prefix, {**env.environ, "UV_CACHE_DIR": str(tmp_path / "fresh")}, folder).repair("--yes")
    assert env.versions() == before
    assert not env.file(CUDNN).exists()


def test_reinstall_that_cannot_be_had_says_that_nothing_was_changed(uv_env: Env, tmp_path: Path) -> None:
    """The wheel that is damaged here is broken where it comes from, too: there is nothing to take back."""
    env = uv_env
    env.file(CUDNN).write_bytes(b"cut")
    before = (env.versions(), env.file(CUDNN).stat())
    folder = tmp_path / "corrupt"
    shutil.copytree(env.wheels, folder)
    (victim,) = folder.glob("nvidia_cudnn_cu12-9.10*.whl")
    data = bytearray(victim.read_bytes())
    data[60:160] = bytes(100)
    victim.write_bytes(data)
    cut = Env(env.prefix, {**env.environ, "UV_CACHE_DIR": str(tmp_path / "fresh")}, folder)
    with pytest.raises(FixError, match="nothing had been changed yet"):
        cut.repair("--yes")
    assert (env.versions(), env.file(CUDNN).stat()) == before
    assert ends(env) == ["rolled-back"]


class Index(http.server.SimpleHTTPRequestHandler):
    """A simple index of a folder that loses its connection as soon as a certain wheel is asked for."""

    doomed = "nvidia_cudnn_cu12"

    def do_GET(self) -> None:
        if self.path.startswith("/simple/"):
            name = self.path.split("/")[2].replace("-", "_")
            files = [entry for entry in sorted(os.listdir(self.directory)) if entry.lower().startswith(name + "-")]
            body = "".join(f'<a href="/files/{entry}">{entry}</a>\n' for entry in files).encode()
            self.send_response(200 if files else 404)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        elif self.doomed in self.path and self.server.cut:  # type: ignore[attr-defined]
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"PK\3\4")
            self.close_connection = True
        else:
            self.path = self.path.removeprefix("/files")
            super().do_GET()

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture
def index(wheels: Path) -> Iterator[http.server.ThreadingHTTPServer]:
    handler = functools.partial(Index, directory=str(wheels))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.cut = False  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def online(env: Env, server: http.server.ThreadingHTTPServer, tmp_path: Path) -> dict[str, str]:
    environ = {name: value for name, value in env.environ.items() if name != "UV_OFFLINE"}
    url = f"http://user:s3cr3t@127.0.0.1:{server.server_address[1]}/simple"
    return {**environ, "UV_DEFAULT_INDEX": url, "UV_CACHE_DIR": str(tmp_path / "fresh"), "UV_HTTP_RETRIES": "0"}


def repair(env: Env, environ: dict[str, str]) -> int:
    from tests.real import envs

    return envs.repair(env._replace(environ=environ).target(), ["--yes", "--installer", "uv"])


def test_index_of_the_user_is_used(
    uv_env: Env, index: http.server.ThreadingHTTPServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uv_env.uv("uninstall", "nvidia-cudnn-cu12")
    assert repair(uv_env, online(uv_env, index, tmp_path)) == 0
    assert uv_env.file(CUDNN).exists()
    assert "s3cr3t" not in capsys.readouterr().out


def test_reinstall_downloads_nothing_that_the_cache_has(
    uv_env: Env, index: http.server.ThreadingHTTPServer, tmp_path: Path
) -> None:
    env, environ = uv_env, {**online(uv_env, index, tmp_path), "UV_LINK_MODE": "hardlink"}
    env.uv("uninstall", "nvidia-cudnn-cu12")
    assert repair(env, environ) == 0  # now the cache has it
    intact = env.file(CUDNN).read_bytes()
    index.cut = True  # type: ignore[attr-defined]
    env.file(CUDNN).unlink()
    assert repair(env, environ) == 0
    assert env.file(CUDNN).read_bytes() == intact
    # What was cut short through its link is cut short in the cache, too: that has to be fetched.
    assert env.file(CUDNN).stat().st_nlink > 1
    with env.file(CUDNN).open("r+b") as stream:
        stream.truncate(50)
    with pytest.raises(FixError, match="nothing had been changed yet"):
        repair(env, environ)
    index.cut = False  # type: ignore[attr-defined]
    assert repair(env, environ) == 0
    assert env.file(CUDNN).read_bytes() == intact


def test_damage_in_the_cache_alone_is_noticed(
    uv_env: Env, index: http.server.ThreadingHTTPServer, tmp_path: Path
) -> None:
    """The damaged file is gone by now, so that nothing tells of the cache before it is used."""
    env, environ = uv_env, {**online(uv_env, index, tmp_path), "UV_LINK_MODE": "hardlink"}
    env.uv("uninstall", "nvidia-cudnn-cu12")
    assert repair(env, environ) == 0
    intact = env.file(CUDNN).read_bytes()
    with env.file(CUDNN).open("r+b") as stream:
        stream.truncate(50)
    env.file(CUDNN).unlink()
    assert repair(env, environ) == 0
    assert env.file(CUDNN).read_bytes() == intact


def test_network_that_is_cut_in_the_middle_loses_nothing(
    uv_env: Env, index: http.server.ThreadingHTTPServer, tmp_path: Path
) -> None:
    env = uv_env
    env.uv("uninstall", "nvidia-cudnn-cu12")
    env.install("--no-deps", "sgl-kernel==0.3.19")
    before = env.versions()
    index.cut = True  # type: ignore[attr-defined]
    with pytest.raises(FixError) as caught:
        repair(env, online(env, index, tmp_path))
    assert "s3cr3t" not in str(caught.value)
    assert env.versions() == before
    index.cut = False  # type: ignore[attr-defined]
    assert repair(env, online(env, index, tmp_path)) == 0


def test_nothing_is_removed_before_all_that_is_needed_is_at_hand(
    uv_env: Env, index: http.server.ThreadingHTTPServer, tmp_path: Path
) -> None:
    """Neither the wheel that comes nor the one that goes is in the cache, and the network fails after the plan."""
    env = uv_env
    env.install("--no-deps", "nvidia-cudnn-cu13==9.19.0.56")
    before = env.versions()
    index.cut = True  # type: ignore[attr-defined]
    with pytest.raises(FixError, match="nothing had been changed yet"):
        repair(env, online(env, index, tmp_path))
    assert env.versions() == before
    assert b"cu13" in env.file(CUDNN).read_bytes()
    assert ends(env) == []
    index.cut = False  # type: ignore[attr-defined]
    assert repair(env, online(env, index, tmp_path)) == 0
    assert b"cu12" in env.file(CUDNN).read_bytes()
    assert list((Path(state_folder(env.environ)) / "fetched").iterdir()) == []


def test_index_that_cannot_be_reached_is_refused_before_anything_changes(uv_env: Env, tmp_path: Path) -> None:
    env = uv_env
    env.uv("uninstall", "nvidia-cudnn-cu12")
    before = env.versions()
    environ = {name: value for name, value in env.environ.items() if name != "UV_OFFLINE"}
    environ |= {"UV_DEFAULT_INDEX": "http://127.0.0.1:9/simple", "UV_CACHE_DIR": str(tmp_path / "fresh")}
    environ["UV_HTTP_RETRIES"] = "0"
    with pytest.raises(FixError, match="nothing was changed"):
        repair(env, environ)
    assert env.versions() == before
    assert ends(env) == []


@pytest.fixture
def read_only(uv_env: Env) -> Iterator[Path]:
    """The kernel's folder of an environment with the wrong kernel, which nobody can write, not even root."""
    uv_env.install("--no-deps", "sgl-kernel==0.3.19")
    place = uv_env.file(KERNEL).parent
    bind = subprocess.run(["mount", "--bind", str(place), str(place)], capture_output=True, check=False)
    if bind.returncode != 0:
        pytest.skip("a file system cannot be mounted here")
    subprocess.run(["mount", "-o", "remount,ro,bind", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False)


def test_permission_lost_in_the_middle(uv_env: Env, read_only: Path) -> None:
    env = uv_env
    env.uv("uninstall", "nvidia-cudnn-cu12")
    before = env.versions()
    with pytest.raises(FixError) as caught:
        env.repair("--yes", "--installer", "uv")
    assert "os error" in str(caught.value) or "Read-only" in str(caught.value)
    # What could be brought back is; what could not is in the journal, and undo brings it back once it can be written.
    subprocess.run(["umount", "-l", str(read_only)], check=True)
    entry = journal.read(state_folder(env.environ))[-1]
    if not entry.end:
        from tests.real.test_fix_undo import undo

        done = undo(env)
        assert (done.returncode, done.stderr) == (0, "")
    assert env.versions() == before
    assert b"0.3.19" in env.file(KERNEL).read_bytes()
