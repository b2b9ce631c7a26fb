"""The structure, held by tests: imports go one way along the pipeline, and the start path stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "sgldoctor"

LAYERS = [
    {"cache", "errors", "folders", "lazy", "typed", "versions", "whole"},
    {"facts", "events", "template", "vocabulary"},
    {"knowledge"},
    {"probe", "log", "launch", "snapshot"},
    {"derive"},
    {"actions"},
    {"rules"},
    {"rank"},
    {"fix"},
    {"report"},
    {"pipeline"},
    {"preflight", "recheck", "smoke", "fleet", "running"},
    {"cli"},
    {"__main__"},
]
"""Every part of the package, earlier stages first; a part imports from its own layer or from earlier ones."""

ALSO = {
    # what may be used from anywhere, with the reason
    "report.redact": "secrets are taken out where they are met, in every stage",
}


def layer(name: str) -> int:
    return next(number for number, parts in enumerate(LAYERS) if name in parts)


def imports(path: Path) -> set[str]:
    """The modules of the package that a file imports, as ``part.module``."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("sgldoctor"):
            module = node.module.removeprefix("sgldoctor").lstrip(".")
            found |= {module} if module else {alias.name for alias in node.names if alias.name != "__version__"}
        elif isinstance(node, ast.Import):
            found |= {a.name.removeprefix("sgldoctor.") for a in node.names if a.name.startswith("sgldoctor.")}
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down_the_pipeline_only(path: Path) -> None:
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    if part in ("__init__", "_rules"):
        return
    for module in imports(path):
        first = module.split(".")[0]
        if module in ALSO or first == "_rules":
            continue
        assert layer(first) <= layer(part), f"{path.name} imports {module}, a later stage"
        same_layer = layer(first) == layer(part) and first != part
        alike = same_layer and part not in LAYERS[0] | LAYERS[1]
        assert not alike, f"{path.name} imports {module}, a sister stage"


HEAVY = (
    "rich pydantic yaml importlib.metadata asyncio urllib.request dataclasses pathlib tempfile logging torch sglang"
    " packaging pynvml tomllib tomli argparse typing"
).split()


def loaded(code: str) -> list[str]:
    """Which heavy modules a fresh interpreter has loaded after ``code``."""
    probe = f"import sys\n{code}\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-I", "-c", probe], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    return done.stdout.splitlines()[-1].split()


def run_main(arguments: list[str]) -> str:
    return (
        f"import io, os; sys.path.insert(0, {str(PACKAGE.parent)!r}); from sgldoctor.__main__ import main\n"
        f"out, sys.stdout = sys.stdout, io.StringIO(); main({arguments!r}); sys.stdout = out"
    )


def test_importing_the_package_costs_nothing() -> None:
    assert loaded(f"sys.path.insert(0, {str(PACKAGE.parent)!r}); import sgldoctor") == []


def test_explain_stays_light(tmp_path: Path) -> None:
    log = tmp_path / "crash.log"
    log.write_text("Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nKeyError: 'x'\n")
    loaded(run_main(["explain", str(log)]))  # fills the rule cache, as any earlier run has
    assert loaded(run_main(["explain", str(log)])) == []
