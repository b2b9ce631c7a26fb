"""Builds for one CUDA version are repaired from the index of that version, by real uv and real pip.

A server here stands for the default index and for those of PyTorch and SGLang, one folder of wheels for each lane.
"""

from __future__ import annotations

import http.server
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from sgldoctor.fix import lane
from tests.real import envs
from tests.real.envs import CUDNN, KERNEL, UV, Env
from tests.wheels import wheel

pytestmark = [pytest.mark.venv, pytest.mark.skipif(not UV, reason="no uv")]

LANES = ("cu126", "cu128", "cu129", "cu130")
LIBRARY = "torch/lib/libtorch_cuda.so"


def torch(folder: Path, version: str, label: str) -> None:
    """A torch of a lane; the one without a label is the default index's, of CUDA 12.8."""
    major, full = (label or "cu128")[2:4], version + (f"+{label}" if label else "")
    cudnn = f"nvidia-cudnn-cu{major}==9.10.2.21"
    shown = f"__version__ = '{version}+{label or 'cu128'}'\ncuda = '{major}.{(label or 'cu128')[4]}'\n"
    files = {"torch/__init__.py": "", "torch/version.py": shown, LIBRARY: f"torch {full}" * 40}
    wheel(folder, "torch", full, [cudnn, "triton==3.5.1", "numpy"], files)


def lay_out(root: Path, common: Path) -> None:
    """One folder for each index. Those of the lanes have an old numpy, too, as PyTorch's have old copies of much."""
    envs.build_wheels(common)
    for stale in common.glob("torch-*"):
        stale.unlink()
    wheel(common, "nvidia-cudnn-cu13", "9.10.2.21", (), {CUDNN: "cudnn 13" * 40})
    for version in ("2.9.0", "2.9.1"):
        torch(common, version, "")
    common.rename(root / "default")
    for label in LANES:
        for version in ("2.9.0", "2.9.1"):
            torch(root / "pytorch" / label, version, label)
        wheel(root / "pytorch" / label, "numpy", "1.0", (), {"numpy/__init__.py": "old = True\n"})
        for version in ("0.3.19", "0.3.21"):
            kernel = {"sgl_kernel/__init__.py": "", KERNEL: f"kernel {version}+{label}" * 40}
            wheel(root / "sglang" / label, "sgl-kernel", f"{version}+{label}", (), kernel)


class Indexes(http.server.SimpleHTTPRequestHandler):
    """``/INDEX[/LANE]/NAME/`` lists wheels, ``/files/...`` has them; what was asked for is noted in the server."""

    def do_GET(self) -> None:
        if self.path.startswith("/files/"):
            self.path = self.path.removeprefix("/files")
            super().do_GET()
            return
        place, _, name = self.path.strip("/").rpartition("/")
        self.server.asked.append((place, name))  # type: ignore[attr-defined]
        stem = name.replace("-", "_") + "-"
        files = sorted(entry.name for entry in Path(self.directory, place).glob("*.whl") if entry.name.startswith(stem))
        body = "".join(f'<a href="/files/{place}/{quote(entry)}">{entry}</a>\n' for entry in files).encode()
        self.send_response(200 if files else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the terminal."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("indexes")
    lay_out(folder, folder / "common")
    return folder


@pytest.fixture
def server(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[http.server.ThreadingHTTPServer]:
    def handle(*arguments: object) -> Indexes:
        return Indexes(*arguments, directory=str(root))  # type: ignore[arg-type]

    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handle)
    found.asked = []  # type: ignore[attr-defined]
    url = f"http://127.0.0.1:{found.server_address[1]}/"
    monkeypatch.setattr(lane, "PYTORCH_INDEX", url + "pytorch/")
    monkeypatch.setattr(lane, "SGLANG_INDEX", url + "sglang/")
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def of_lane(env: Env, server: http.server.ThreadingHTTPServer, root: Path, label: str, kernel: str, tmp: Path) -> Env:
    """The environment with the builds of a lane, as a user has who named its index when installing."""
    folders = [str(root / "default"), str(root / "pytorch" / label), str(root / "sglang" / label)]
    links = [word for folder in folders for word in ("--find-links", folder)]
    packages = [f"torch==2.9.1+{label}", f"sgl-kernel==0.3.21{kernel}"]
    env.uv("install", "--no-index", *links, "--reinstall", "--no-deps", *packages)
    if label == "cu130":
        env.uv("uninstall", "nvidia-cudnn-cu12")
        env.uv("install", "--no-index", *links, "--reinstall", "nvidia-cudnn-cu13==9.10.2.21")
    environ = {name: value for name, value in env.environ.items() if name != "UV_OFFLINE"}
    url = f"http://127.0.0.1:{server.server_address[1]}/default"
    environ |= {"UV_DEFAULT_INDEX": url, "PIP_INDEX_URL": url, "UV_HTTP_RETRIES": "0", "PIP_NO_CACHE_DIR": "1"}
    return env._replace(environ={**environ, "UV_CACHE_DIR": str(tmp / "fresh")})


def fixed(env: Env, *options: str) -> int:
    kind = "pip" if env.file("pip").exists() else "uv"
    return envs.repair(env.target(), ["--yes", "--installer", kind, *options])


def sampled(env: Env, *, chosen: bool) -> None:
    """The lane is chosen before an installer is: one sample does for pip, which takes five times as long as uv."""
    if not chosen and env.file("pip/__init__.py").exists() and not os.environ.get("SGLDOCTOR_THOROUGH"):
        pytest.skip("another sample does for pip; all of them with SGLDOCTOR_THOROUGH=1")


@pytest.mark.parametrize("label", LANES)
def test_lane_is_kept(
    env: Env, server: http.server.ThreadingHTTPServer, root: Path, label: str, tmp_path: Path
) -> None:
    sampled(env, chosen=label == LANES[-1])
    kernel = "+cu130" if label == "cu130" else ""
    env = of_lane(env, server, root, label, kernel, tmp_path)
    whole = env.versions()
    assert whole["torch"] == f"2.9.1+{label}"
    intact = env.file(LIBRARY).read_bytes()
    # A damaged file: the same build again, not the default index's of the same version.
    env.file(LIBRARY).write_bytes(b"cut")
    env.file(KERNEL).unlink()
    assert fixed(env) == 0
    assert (env.versions(), env.file(LIBRARY).read_bytes()) == (whole, intact)
    # A release that was moved within the lane goes back within it, and nothing comes from the lane's old copies.
    links = ["--no-index", "--find-links", str(root / "pytorch" / label), "--no-deps"]
    env.uv("install", *links, f"torch==2.9.0+{label}")
    env.uv("uninstall", "numpy")
    assert fixed(env, "--unsafe") == 0
    assert (env.versions(), env.file(LIBRARY).read_bytes()) == (whole, intact)
    asked = {place for place, name in server.asked if name == "torch"}  # type: ignore[attr-defined]
    assert f"pytorch/{label}" in asked
    assert not {place for place in asked if place.startswith("pytorch/")} - {f"pytorch/{label}"}


@pytest.mark.parametrize("label", ["cu126", "cu129"])
def test_kernel_of_a_lane_is_put_back_from_it(
    env: Env, server: http.server.ThreadingHTTPServer, root: Path, label: str, tmp_path: Path
) -> None:
    sampled(env, chosen=label == "cu129")
    env = of_lane(env, server, root, label, f"+{label}", tmp_path)
    whole = env.versions()
    env.uv("install", "--no-index", "--find-links", str(root / "sglang" / label), f"sgl-kernel==0.3.19+{label}")
    assert fixed(env) == 0
    assert env.versions() == whole
    assert f"0.3.21+{label}".encode() in env.file(KERNEL).read_bytes()


@pytest.mark.uv_suffices
def test_foreign_lane_goes_back_to_the_default_index(
    env: Env, server: http.server.ThreadingHTTPServer, root: Path, tmp_path: Path
) -> None:
    """A torch for CUDA 13 over a kernel for CUDA 12 is the fault itself."""
    env = of_lane(env, server, root, "cu128", "", tmp_path)
    links = ["--no-index", "--find-links", str(root / "pytorch" / "cu130"), "--find-links", str(root / "default")]
    env.uv("install", *links, "torch==2.9.0+cu130")
    assert fixed(env, "--unsafe") == 0
    assert env.versions()["torch"] == "2.9.1"
    assert "nvidia-cudnn-cu13" not in env.versions()
    assert not [place for place, _ in server.asked if place.startswith("pytorch/")]  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", ["only index", "folder", "uv.toml"])
def test_own_mirror_of_a_lane_is_enough(
    env: Env, server: http.server.ThreadingHTTPServer, root: Path, how: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Where the user's own places have the build, the public index is not asked: there may be no way to it."""
    sampled(env, chosen=how == "folder")
    env = of_lane(env, server, root, "cu129", "", tmp_path)
    monkeypatch.setattr(lane, "PYTORCH_INDEX", "http://127.0.0.1:1/whl/")
    default, mirror = env.environ["PIP_INDEX_URL"], str(env.environ["PIP_INDEX_URL"]).replace("default", "mirror/cu129")
    if not (root / "mirror").exists():
        (root / "mirror").mkdir()
        (root / "mirror" / "cu129").symlink_to(root / "pytorch" / "cu129")
    environ = dict(env.environ)
    if how == "only index":  # whatever else is needed is there already
        environ |= {"UV_DEFAULT_INDEX": mirror, "PIP_INDEX_URL": mirror}
    elif how == "folder":
        environ |= {"UV_FIND_LINKS": str(root / "mirror" / "cu129"), "PIP_FIND_LINKS": str(root / "mirror" / "cu129")}
    else:  # for pip an index besides its own
        config = tmp_path / "config" / "uv" / "uv.toml"
        config.parent.mkdir(parents=True)
        config.write_text(f'[[index]]\nname = "lane"\nurl = "{mirror}"\n[[index]]\nurl = "{default}"\ndefault = true\n')
        environ |= {"PIP_EXTRA_INDEX_URL": mirror}
        for name in ("UV_NO_CONFIG", "UV_DEFAULT_INDEX"):
            del environ[name]
    env = env._replace(environ=environ)
    whole = env.versions()
    intact = env.file(LIBRARY).read_bytes()
    env.file(LIBRARY).write_bytes(b"cut")
    assert fixed(env) == 0
    assert (env.versions(), env.file(LIBRARY).read_bytes()) == (whole, intact)
    env.uv("install", "--no-index", "--find-links", str(root / "pytorch" / "cu129"), "--no-deps", "torch==2.9.0+cu129")
    assert fixed(env, "--unsafe") == 0
    assert (env.versions(), env.file(LIBRARY).read_bytes()) == (whole, intact)
    # Of an absent torch nothing tells the lane but these places.
    env.uv("uninstall", "torch")
    assert fixed(env, "--unsafe") == 0
    assert (env.versions(), env.file(LIBRARY).read_bytes()) == (whole, intact)


@pytest.mark.uv_suffices
def test_mirror_without_the_lane_is_not_enough(
    env: Env, server: http.server.ThreadingHTTPServer, root: Path, tmp_path: Path
) -> None:
    env = of_lane(env, server, root, "cu129", "", tmp_path)
    whole = env.versions()
    env.file(LIBRARY).write_bytes(b"cut")
    assert fixed(env, "--find-links", str(root / "pytorch" / "cu126")) == 0
    assert env.versions() == whole
    assert ("pytorch/cu129", "torch") in server.asked  # type: ignore[attr-defined]
