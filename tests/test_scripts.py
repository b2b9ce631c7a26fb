"""The scripts that read SGLang's wheels, on wheels of three lines."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from sgldoctor.knowledge import sources

SCRIPTS = Path(__file__).parents[1] / "scripts"


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "sglang-9.9.9-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "sglang/srt/managers/thing.py",
            "class Thing:\n    def run(self):\n        return copy.deepcopy(self.x)\n\n"
            "    def stop(self):\n        pass\n",
        )
    return path


@pytest.mark.parametrize(
    ("sign", "there"),
    [
        ({"file": "managers/thing.py", "has": r"copy\.deepcopy"}, True),
        ({"file": "managers/thing.py", "lacks": r"copy\.deepcopy"}, False),
        ({"file": "managers/thing.py", "in": "Thing.run", "has": r"copy\.deepcopy"}, True),
        ({"file": "managers/thing.py", "in": "Thing.stop", "has": r"copy\.deepcopy"}, False),
        ({"file": "managers/thing.py", "in": "Thing.stop", "lacks": r"copy\.deepcopy"}, True),
        ({"file": "managers/thing.py", "in": "Thing.gone", "lacks": r"copy\.deepcopy"}, False),
        ({"file": ["managers/moved.py", "managers/thing.py"], "has": "class Thing"}, True),
        ({"file": "managers/moved.py", "lacks": "class Thing"}, False),
        ({"file": "managers/moved.py", "absent": True}, True),
        ({"file": "managers/thing.py", "absent": True}, False),
        ({"file": "managers/thing.py"}, True),
    ],
)
def test_signs_of_a_defect(wheel: Path, sign: dict[str, object], there: bool) -> None:
    pytest.importorskip("tomllib")
    assert script("defects").Release(wheel).holds(sign) is there


def test_both_sides_sum_a_line_alike() -> None:
    made = script("sources")
    for line in ("    batch = self.get_next_batch_to_run()", "x", "é = 1"):
        assert made.line_sum(line) == sources._sum(line.strip())
    assert made.line_sum("   ") == 0


def test_the_bill_of_materials_names_all_that_is_brought_along() -> None:
    made = script("sbom").bill()
    names = {part["name"] for part in made["components"]}
    assert {"rich", "packaging", "nvidia-ml-py", "pygments"} <= names
    assert "pytest" not in names
    for part in made["components"]:
        assert part["purl"] == f"pkg:pypi/{part['name']}@{part['version']}"
        assert part["licenses"], part["name"]
    assert made == script("sbom").bill()
