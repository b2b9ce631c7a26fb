"""Every launch case: a valid line is left in peace, a broken one gets its cause."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sgldoctor import preflight
from sgldoctor.launch import files
from sgldoctor.launch.command import parse
from sgldoctor.pipeline import Options

HERE = Path(__file__).parent
CONFIGS = json.loads((HERE.parent / "derive" / "sizes" / "configs.json").read_text(encoding="utf-8"))
TEXT = (HERE / "cases.txt").read_text(encoding="utf-8")
CASES = [line.split(" | ", 1) for line in TEXT.splitlines() if not line.startswith("#")]
SERVER = "python -m sglang.launch_server --model-path"


def causes(given: list[str], line: str, folder: Path) -> dict[str, str]:
    """The causes that stop the line, and those of variables that do nothing: cause to what is said."""
    asked = dict(pair.split("=") for pair in given[2:])
    model = "org/model"
    if "model" in asked:
        (folder / "config.json").write_text(json.dumps(CONFIGS[asked["model"]]), encoding="utf-8")
        model = str(folder)
    variables, _, options = line.partition(" --") if line[:1].isupper() else ("", "", line)
    whole = f"{variables} {SERVER} {model} {'--' if variables else ''}{options}"
    said = preflight.Given(given[0], "", int(asked.get("gpus", 8)), None, asked.get("cc", "9.0"))
    place = preflight.Place(preflight.nowhere({}), "no environment")
    report = preflight.launch([files.Located(parse(whole), "", "", 0)], "", said, place, Options())
    judged = [finding for finding in report.findings if finding.role == "cause"]
    kept = [f for f in judged if f.severity == "error" or f.rule.cause == "deprecated-env-var"]
    return {finding.rule.cause: finding.title for finding in kept}


@pytest.mark.parametrize(("given", "line"), CASES)
def test_case(given: str, line: str, tmp_path: Path) -> None:
    cause = given.split()[1]
    found = causes(given.split(), line, tmp_path)
    assert not found if cause == "-" else cause in found, found


def test_the_cases_are_many_and_half_of_them_valid() -> None:
    valid = [given for given, _ in CASES if given.split()[1] == "-"]
    assert len(CASES) >= 200
    assert len({given.split()[0] for given in valid}) >= 10
    assert 0.5 * len(CASES) <= len(valid) <= 0.6 * len(CASES)


def test_the_title_of_a_context_that_is_too_long_has_both_lengths(tmp_path: Path) -> None:
    found = causes(["0.5.8", "", "model=llama3-8b"], "--context-length 200000", tmp_path)
    assert found["context-length"] == "--context-length 200000 is longer than the model's own 8192"
