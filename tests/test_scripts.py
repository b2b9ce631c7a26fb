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


REGISTRY = """
BASE = {"fp8": Fp8Config, "awq": AwqConfig, "wild": WildConfig, "opaque": OpaqueConfig}
if is_npu():
    BASE.update({"npu": Fp8Config})
"""
METHODS = """
class Fp8Config(Base):
    pass
class AwqConfig(Base):
    @classmethod
    def override_quantization_method(cls, config, given):
        return "awq" if cls.fits(config) and given == "wild" else None
    @classmethod
    def fits(cls, config):
        return config.get("quant_method") == "awq" and config["bits"] == 4
class WildConfig(Base):
    pass
class OpaqueConfig(Base):
    @classmethod
    def override_quantization_method(cls, config, given):
        return None if config["quant_method"] != "opaque" else config["nobody knows"]
"""
VERIFY = """
REQUANTISING = []
def _verify_quantization(self):
    compatible_quantization_methods = {"awq": ["fp8"]}
"""


def test_which_quantisation_a_checkpoint_takes(tmp_path: Path) -> None:
    made = script("quantization_matches")
    path = tmp_path / "sglang-9.9.9-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(made.FOLDER + "__init__.py", REGISTRY)
        archive.writestr(made.FOLDER + "methods.py", METHODS)
        archive.writestr(made.MODEL, VERIFY)
    with zipfile.ZipFile(path) as archive:
        release = made.Release(archive)
    assert release.accepted("fp8") == ["awq", "fp8"]  # listed as compatible
    assert release.accepted("awq") == ["awq", "wild"]  # put in its place by the override
    assert release.accepted("opaque") == ["awq", "fp8", "opaque", "wild"]  # the override cannot be run alone
