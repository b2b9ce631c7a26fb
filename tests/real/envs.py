"""Small real environments with the true names, pins and shared files of an SGLang 0.5.8, broken on purpose by tests.

Also a program of its own, so that a test can kill it: ``python -m tests.real.envs VENV [OPTION...]`` repairs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from sgldoctor import pipeline
from sgldoctor.cli import common, fix
from sgldoctor.cli.options import Namespace
from sgldoctor.cli.repair import repair as carry_out
from sgldoctor.errors import DoctorError
from sgldoctor.fix import snapshot
from sgldoctor.probe.environments import find
from sgldoctor.probe.packages import packages
from sgldoctor.probe.target import Target
from sgldoctor.report.model import Report
from sgldoctor.rules.schema import Rule, build
from tests.wheels import wheel

UV = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])) or ""

CUDNN = "nvidia/cudnn/lib/libcudnn.so.9"
KERNEL = "sgl_kernel/sm90/common_ops.abi3.so"


def build_wheels(folder: Path) -> None:
    """All wheels that the tests install: right ones, wrong ones, and two that share files with right ones."""
    torch_needs = [
        "nvidia-cudnn-cu12==9.10.2.21",
        "nvidia-cusparselt-cu12==0.7.1",
        "nvidia-nccl-cu12==2.27.5",
        "triton==3.5.1",
    ]
    sglang_needs = [
        "torch==2.9.1",
        "sgl-kernel==0.3.21",
        "flashinfer-python==0.6.1",
        "flashinfer-cubin==0.6.1",
        "numpy",
    ]
    wheel(folder, "sglang", "0.5.8", sglang_needs, {"sglang/__init__.py": "", "sglang/version.py": "v = 1\n"})
    torch_files = {"torch/__init__.py": "", "torch/version.py": "__version__ = '2.9.1+cu128'\ncuda = '12.8'\n"}
    wheel(folder, "torch", "2.9.1", torch_needs, torch_files)
    newer = ["nvidia-cudnn-cu13==9.19.0.56", "triton==3.6.0"]
    wheel(folder, "torch", "2.11.0", newer, {**torch_files, "torch/version.py": "__version__ = '2.11.0+cu130'\n"})
    wheel(folder, "triton", "3.5.1")
    wheel(folder, "triton", "3.6.0")
    wheel(folder, "numpy", "2.4.6", (), {"numpy/__init__.py": ""})
    for name, version in [("nvidia-cudnn-cu12", "9.10.2.21"), ("nvidia-cudnn-cu12", "9.16.0.29"),
                          ("nvidia-cudnn-cu13", "9.19.0.56")]:  # fmt: skip
        wheel(folder, name, version, (), {CUDNN: f"cudnn {name} {version}" * 40, "nvidia/cudnn/include/c.h": "//\n"})
    wheel(folder, "nvidia-cusparselt-cu12", "0.7.1", (), {"nvidia/cusparselt/lib/libcusparseLt.so.0": "sparse" * 40})
    wheel(folder, "nvidia-nccl-cu12", "2.27.5", (), {"nvidia/nccl/lib/libnccl.so.2": "nccl" * 40})
    for name, version in [("sgl-kernel", "0.3.21"), ("sgl-kernel", "0.3.19"), ("sglang-kernel", "0.4.1")]:
        kernel = {"sgl_kernel/__init__.py": "", "sgl_kernel/version.py": f"v = '{version}'\n"}
        wheel(folder, name, version, (), {**kernel, KERNEL: f"kernel {version}" * 40})
    for name in ("flashinfer-python", "flashinfer-cubin"):
        for version in ("0.6.1", "0.5.3"):
            wheel(folder, name, version, (), {f"{name.replace('-', '_')}/__init__.py": f"v = '{version}'\n"})


WHOLE = ("sglang==0.5.8",)

INSTALL: dict[str, Any] = {"do": "install", "packages": ["{pin}"], "deps": False}
ALONE: dict[str, Any] = {"safety": "safe", "action": [INSTALL]}

RULES: dict[str, dict[str, Any]] = {
    "wheel-missing": {
        "fact": [{"each": "packages.missing", "where": {"group": "nvidia"}}],
        "fix": [ALONE],
    },
    "package-missing": {
        "fact": [{"each": "packages.missing", "where": {"group": "python"}}],
        "fix": [{"safety": "safe", "action": [{"do": "install", "packages": ["{pin}"]}]}],
    },
    "wheel-damaged": {
        "fact": [{"each": "packages.damaged"}],
        "fix": [{"safety": "safe", "action": [{**INSTALL, "reinstall": True}]}],
    },
    "two-kernels": {
        "fact": [{"each": "kernel", "where": {"status": "double"}}],
        "explains": ["wheel-damaged"],
        "fix": [
            {"safety": "safe",
             "action": [{"do": "uninstall", "packages": ["sgl-kernel", "sglang-kernel"]},
                        {"do": "install", "packages": ["{pin:kernel}"], "deps": False}]}
        ],
    },
    "kernel-version": {"fact": [{"each": "kernel", "where": {"status": ["older", "newer", "absent"]}}], "fix": [ALONE]},
    "cuda-mixed": {
        "fact": [{"each": "packages.mixed_cuda"}],
        "fix": [{"safety": "safe", "action": [{"do": "uninstall", "packages": ["{unwanted}"]}]}],
    },
    "companion-missing": {
        "fact": [{"each": "packages.missing", "where": {"group": "torch"}, "unless": {"name": "torch"}}],
        "fix": [{"safety": "safe", "action": [{"do": "install", "packages": ["{pin}", "{pin:torch}"]}]}],
    },
    "torch-missing": {
        "fact": [{"each": "packages.missing", "where": {"name": "torch"}}],
        "fix": [{"safety": "unsafe", "action": [{"do": "install", "packages": ["{pin}"]}]}],
    },
    "torch-moved": {
        "fact": [{"each": "packages.unpinned", "where": {"name": "torch"}}],
        "fix": [{"safety": "unsafe", "action": [{"do": "install", "packages": ["{pin}"]}]}],
    },
    "wheel-moved": {
        "fact": [{"each": "packages.unpinned", "where": {"group": "nvidia"}, "unless": {"tolerated": True}}],
        "fix": [ALONE],
    },
    "metadata-broken": {"fact": [{"each": "packages.broken", "where": {"needed": True}}], "fix": []},
    "flashinfer-differs": {"fact": [{"each": "flashinfer", "where": {"status": "differs"}}], "fix": [ALONE]},
    "token-limit": {
        "fact": [{"each": "environment", "where": {"name": "SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK"}}],
        "fix": [{"safety": "safe", "action": [{"do": "unset-env", "name": "{name}"}]}],
    },
}  # fmt: skip
"""What the tests know to repair. Rules of their own, so that a change of the shipped ones is no failure here."""


def rules() -> list[Rule]:
    """The rules as the loader would give them."""
    found = []
    for slug, table in RULES.items():
        table = {"title": f"{slug} {{name}}", "cause": slug, "about": "a", "subject": "{name}", **table}
        table["fix"] = [{"title": f"repair {slug} {{name}}", **recipe} for recipe in table["fix"]]
        found.append(build(table, slug, "libraries", slug))
    return found


class Env(NamedTuple):
    """A virtual environment of a test, its variables and the folder of wheels."""

    prefix: Path
    environ: dict[str, str]
    wheels: Path

    @property
    def python(self) -> Path:
        return self.prefix / "bin" / "python"

    @property
    def site(self) -> Path:
        (found,) = self.prefix.glob("lib/python3*/site-packages")
        return found

    def file(self, path: str) -> Path:
        return self.site / path

    def target(self, **environ: str) -> Target:
        return find(str(self.python), None, None, {**self.environ, **environ})

    def versions(self) -> dict[str, str]:
        found = snapshot.take(self.target()).packages
        return {name: entry.version for name, entry in found.items() if name not in ("pip", "setuptools")}

    def install(self, *words: str) -> None:
        """Install with uv from the folder of wheels: the quick way to lay out, and to break, an environment."""
        self.uv("install", "--no-index", "--find-links", str(self.wheels), *words)

    def uv(self, *words: str) -> None:
        command = [UV, "pip", words[0], "--python", str(self.python), *words[1:]]
        subprocess.run(command, env=self.environ, check=True, capture_output=True)

    def report(self, **environ: str) -> Report:
        return examine(self.target(**environ))

    def repair(self, *options: str, **environ: str) -> int:
        return repair(self.target(**environ), ["--find-links", str(self.wheels), "--no-index", *options])


def variables(folder: Path) -> dict[str, str]:
    """Variables of a user who has nothing of ours: own home, own cache, no settings of pip or uv."""
    keep: Mapping[str, str] = {name: os.environ[name] for name in ("LANG", "TMPDIR") if name in os.environ}
    return {
        **keep,
        "PATH": os.pathsep.join(["/usr/local/bin", "/usr/bin", "/bin"]),
        "HOME": str(folder / "home"),
        "XDG_STATE_HOME": str(folder / "state"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "UV_CACHE_DIR": str(folder / "uv-cache"),
        "UV_NO_CONFIG": "1",
        "UV_OFFLINE": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_CACHE_DIR": str(folder / "pip-cache"),
    }


def examine(target: Target) -> Report:
    """Packages and variables of an environment, judged by the rules above."""
    facts = packages(target)
    rows = [{"name": name, "value": value} for name, value in target.environ.items() if name.startswith("SGLANG_")]
    facts.put("environment", rows, "probe")
    return pipeline.conclude("check", facts, (), rules(), pipeline.Options())


def arguments(words: list[str]) -> Namespace:
    made = common.parser("check", "", formats=fix.FORMATS)
    common.judging(made)
    fix.add_options(made)
    args = made.parse_args(["--fix", *words])
    fix.check_options(args)
    return args


def repair(target: Target, words: list[str]) -> int:
    """As ``sgldoctor check --fix`` does it."""
    return carry_out(examine(target), target, arguments(words), examine)


if __name__ == "__main__":
    try:
        sys.exit(repair(find(None, sys.argv[1], None, os.environ), sys.argv[2:]))
    except DoctorError as error:
        sys.exit(f"sgldoctor: {error}")
