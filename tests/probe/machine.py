"""A machine laid out as files under a folder, for probes that read /proc, /sys and /etc through a target."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

from sgldoctor.probe.target import Target

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


def target(root: Path | str, environ: Mapping[str, str] | None = None) -> Target:
    """A target over ``root`` that knows nothing but these variables."""
    return Target(str(root), "", "", (), "", dict(environ or {}), "test", "system")


def lay(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files below ``root``; a text that starts with ``->`` makes a symbolic link."""
    for name, content in files.items():
        path = root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str) and content.startswith("->"):
            path.symlink_to(content[2:])
        else:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def library(folder: Path, name: str, source: str) -> Path:
    """Compile a shared library; its file name is its soname."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    command = ["gcc", "-shared", "-fPIC", "-O0", f"-Wl,-soname,{name}", "-x", "c", "-", "-o", str(path)]
    subprocess.run(command, input=source.encode(), check=True, env={**os.environ, "LC_ALL": "C"})
    return path
