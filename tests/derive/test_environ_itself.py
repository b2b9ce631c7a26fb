"""Our model of SGLang's copying against SGLang's own ``srt/environ.py``, which needs the standard library only.

The wheels come from the package index; nothing of them is kept. Every deprecated and every ``SGL_`` name is set alone,
the module is run twice, as in a parent and in a worker that it spawned, and the variables and warnings are compared.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from sgldoctor.derive.variables import Carried, start
from sgldoctor.knowledge.variables import SAME, knowledge, meaning, place, prefixed

pytestmark = pytest.mark.network

# Runs environ.py from a file; the packages that it may import are empty here.
RUN = """
import importlib.util, json, os, sys, types, warnings
for name in ("sglang", "sglang.srt", "sglang.srt.debug_utils", "sglang.srt.debug_utils.cuda_coredump"):
    sys.modules[name] = types.ModuleType(name)
base, found = dict(os.environ), []
for name, value in json.load(sys.stdin):
    os.environ.clear()
    os.environ.update(base)
    os.environ[name] = value
    runs, says = [], []
    for process in ("parent", "worker"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            spec = importlib.util.spec_from_file_location("environ_under_test", sys.argv[1])
            spec.loader.exec_module(importlib.util.module_from_spec(spec))
        says = says or sorted({str(one.message) for one in caught})
        runs.append({key: text for key, text in os.environ.items() if key.startswith("SGL")})
    found.append([name, value, runs, says])
json.dump(found, sys.stdout)
"""


def same(value: str) -> str:
    """SGLang writes True where we write 1, and 5.0 where we write 5."""
    lower = value.lower()
    try:
        return {"true": "1", "false": "0"}.get(lower) or f"{float(value):g}"
    except ValueError:
        return lower


def values(carried: Carried, value: str) -> dict[str, str]:
    return {name: same(transform.apply(value)) for name, transform in carried.items()}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("wheels")


# Small pure wheels with the older mechanisms, and one compiled wheel with the newer.
@pytest.mark.parametrize("release", ["0.5.6.post2", "0.5.8", "0.5.18"])
def test_every_copy_and_every_warning(wheels: Path, release: str) -> None:
    fetch = [
        sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:",
        "--python-version", "3.11", "--platform", "manylinux_2_34_x86_64", "--platform", "any",
        "-d", str(wheels), f"sglang=={release}",
    ]  # fmt: skip
    if subprocess.run(fetch, capture_output=True, check=False, timeout=300).returncode:
        pytest.skip("the package index cannot be reached")
    wheel = next(wheels.glob(f"sglang-{release}-*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        path = Path(archive.extract("sglang/srt/environ.py", wheels / release))
    wheel.unlink()

    at = place(release)
    assert at is not None
    olds = {one.old for one in knowledge().notices if one.start}
    prefixes = {name for name in knowledge().variables if prefixed(name)}
    names = sorted(
        {*olds, *prefixes, *(prefixed(name) for name in prefixes), *(n for old in olds for n in meaning(old))}
    )
    cases = [(name, "5000" if name.endswith("_MS") else "1") for name in names]
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(path)],
        input=json.dumps(cases),
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], "HOME": str(wheels)},
    )
    results = json.loads(done.stdout)
    assert len(results) == len(cases)
    for name, value, (parent, worker), says in results:
        ours, printed = start({name: SAME}, at)
        assert {key: same(text) for key, text in parent.items()} == values(ours, value), name
        assert {key: same(text) for key, text in worker.items()} == values(start(ours, at)[0], value), name
        assert says == sorted(set(printed)), name
