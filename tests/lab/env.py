"""Copies of real SGLang environments that may be broken: hard links to a sound one, so a copy costs next to nothing.

Whatever changes a file of a copy unlinks it first, as pip and uv do; writing into it would change the sound one too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple


class Copy(NamedTuple):
    """One copy: ``folder`` is its prefix, ``good`` the sound environment that it was made of."""

    folder: Path
    good: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin/python"

    @property
    def site(self) -> Path:
        """Its site-packages folder."""
        (found,) = self.folder.glob("lib/python3.*/site-packages")
        return found

    def file(self, pattern: str) -> Path:
        """The first file of site-packages that a glob finds."""
        found = sorted(self.site.glob(pattern))
        if not found:
            raise FileNotFoundError(f"{pattern} in {self.site}")
        return found[0]

    def pip(self, *arguments: str) -> None:
        """``uv pip ARGUMENTS`` in this copy."""
        command = [str(Path(sys.executable).with_name("uv")), "pip", *arguments, "--python", str(self.python)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")

    def install(self, *requirements: str) -> None:
        """Install with whatever else that moves."""
        self.pip("install", "--prerelease=allow", *requirements)

    def only(self, *requirements: str) -> None:
        """Install these and nothing else."""
        self.pip("install", "--prerelease=allow", "--no-deps", *requirements)

    def uninstall(self, *names: str) -> None:
        """Remove distributions as uv does."""
        self.pip("uninstall", *names)

    def delete(self, *patterns: str) -> None:
        """Remove files or folders of site-packages behind the package manager's back."""
        for pattern in patterns:
            found = sorted(self.site.glob(pattern))
            if not found:
                raise FileNotFoundError(f"{pattern} in {self.site}")
            for path in found:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    def write(self, pattern: str, content: bytes) -> None:
        """Replace a file that a glob finds (or make the one it names), without touching the sound environment."""
        found = sorted(self.site.glob(pattern))
        path = found[0] if found else self.site / pattern
        path.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def edit(self, pattern: str, change: Callable[[bytes], bytes]) -> None:
        """Rewrite a file by a function of its bytes."""
        self.write(pattern, change(self.file(pattern).read_bytes()))


class Variant(NamedTuple):
    """A way to break (or not to break) an environment, and what ``check`` must say first.

    Attributes:
        name: also the name of its folder and of its recorded snapshot.
        good: which sound environment it is a copy of.
        do: what is done to the copy.
        cause: key of the cause that the first finding must have; ``""`` where nothing may be found wrong.
        subject: what the first finding must be about, a part of its subject or title.
        severity: of the first finding.
        environ: variables of the examination; ``{}`` in a value stands for the folder of the copy.
        lacks: libraries of the system that are not there; the copy is then examined as ``/opt/venv`` of a root folder
            with the rest of this machine's system libraries.
    """

    name: str
    good: str
    do: Callable[[Copy], None]
    cause: str = ""
    subject: str = ""
    severity: str = "error"
    environ: Mapping[str, str] = {}
    lacks: tuple[str, ...] = ()


SYSTEM = Path("/lib") / f"{os.uname().machine}-linux-gnu"


def add_system(root: Path, lacks: tuple[str, ...]) -> None:
    """The libraries of this machine's system under another root, without some."""
    folder = root / SYSTEM.relative_to("/")
    folder.mkdir(parents=True)
    for path in SYSTEM.glob("*.so*"):
        if path.is_file() and path.name not in lacks:
            shutil.copy(path, folder / path.name)


def make(lab: Path, folder: Path, variant: Variant) -> Copy:
    """Make the copy and break it; the folder is written anew. It is the prefix, or the root where the system counts."""
    good = lab / variant.good
    shutil.rmtree(folder, ignore_errors=True)
    if variant.lacks:
        add_system(folder, variant.lacks)
        folder = folder / "opt/venv"
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(good, folder, copy_function=os.link, symlinks=True)
    made = Copy(folder, good)
    variant.do(made)
    return made
