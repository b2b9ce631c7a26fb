"""What titles and sentences say of a failure: taken where it was met, left where it is wished away."""

from __future__ import annotations

from pathlib import Path

import pytest

from sgldoctor import log, pipeline
from sgldoctor.derive import models
from sgldoctor.events import Event
from sgldoctor.log.claims import claims, imports
from sgldoctor.report.model import Report
from sgldoctor.rules.load import load
from sgldoctor.rules.select import literals


def read(text: str, folder: Path) -> log.Reading:
    path = folder / "thread.md"
    path.write_text(text, encoding="utf-8")
    return log.read([str(path)], literals(load()))


def explain(text: str, folder: Path) -> Report:
    reading = read(text, folder)
    return pipeline.conclude("explain", reading.facts, reading.events, load(), pipeline.Options())


def causes(text: str, folder: Path) -> list[str]:
    return [finding.rule.cause for finding in explain(text, folder).causes if finding.severity == "error"]


CUT = """
Traceback (most recent call last):
  File "/opt/venv/lib/python3.12/site-packages/sglang/srt/layers/quantization/fp8_kernel.py", line 30, in <module>
    from sgl_kernel import (
"""


def test_a_title_completes_the_traceback_that_was_cut_off(tmp_path: Path) -> None:
    (claim,) = claims(read("# [Bug] ImportError: cannot import name 'sgl_x'\n" + CUT, tmp_path).events)
    assert (claim.kind, claim.type, claim.line) == ("exception", "ImportError", 1)
    assert claim.frames[-1].file.endswith("fp8_kernel.py")
    assert claim.text == "ImportError: cannot import name 'sgl_x'"


def test_a_title_comes_after_what_it_tells_of(tmp_path: Path) -> None:
    events = read("$ pip install sglang\n# [Bug] It fails\n\nValueError: one\n", tmp_path).events
    assert [event.line for event in events] == [1, 4, 2]


@pytest.mark.parametrize(
    "title",
    [
        "# [Feature] Raise ImportError: cannot import name 'sgl_per_token_group_quant_fp8' earlier",
        "# Fix RuntimeError: Chat template x.jinja is not a built-in template name",
        "# fix: missing soundfile dependency",
        "# [RFC] sgl-kernel is missing on Windows",
        "# Add a check for sgl-kernel mismatch",
    ],
)
def test_wishes_and_changes_are_no_failures(title: str, tmp_path: Path) -> None:
    assert causes(title + "\n\nSee below.\n", tmp_path) == []


@pytest.mark.parametrize(
    "sentence",
    [
        "This avoids RuntimeError: Chat template x.jinja is not a built-in template name.",
        "The check should raise ImportError: cannot import name 'sgl_per_token_group_quant_fp8'.",
        "This was fixed by #12: RuntimeError: Chat template x.jinja is not a built-in template name",
        "With the pin `RuntimeError: Chat template x.jinja is not a built-in template name` is gone.",
        "If you see that sgl-kernel is outdated, reinstall it.",
    ],
)
def test_advice_is_no_failure(sentence: str, tmp_path: Path) -> None:
    assert causes(sentence + "\n", tmp_path) == []


def test_a_claim_is_less_sure_than_the_log_and_gives_way_to_it(tmp_path: Path) -> None:
    said = "# [Bug] awq quantization requires some operators from vllm. Please install vllm\n\n"
    (alone,) = explain(said, tmp_path).causes
    assert (alone.rule.cause, alone.rule.confidence) == ("python-module-missing", "medium")
    logged = said + "ImportError: libcudnn.so.9: cannot open shared object file: No such file or directory\n"
    assert causes(logged, tmp_path) == ["missing-libcudnn"]


def test_what_a_logger_wrote_is_no_claim() -> None:
    event = Event("line", "the server failed since sgl-kernel is outdated", 4, 0, time="2026-01-01 00:00:00")
    assert claims([event]) == []
    assert [claim.kind for claim in claims([event._replace(time="")])] == ["claim"]


def test_the_import_of_the_launched_model_counts_as_the_exception_that_it_was(tmp_path: Path) -> None:
    reading = read(
        "[2025-06-10 14:17:52 TP0] Ignore import error when loading sglang.srt.models.qwen2. libfoo.so.3: cannot open "
        "shared object file: No such file or directory\n"
        "ValueError: Model architectures ['Qwen3ForCausalLM'] are not supported for now.\n",
        tmp_path,
    )
    reading.facts.merge(models.derive(reading.facts))
    rows = reading.facts.rows("log.ignored_import")
    assert [row["wanted"] for row in rows] == [True], "a later generation may use the file of an earlier one"
    first, second = imports(reading.events, rows)
    assert (first.kind, first.type) == ("exception", "ImportError")
    assert first.text.startswith("ImportError: libfoo.so.3")
    assert second == reading.events[1]


def test_a_function_is_blamed_on_the_package_that_it_comes_from(tmp_path: Path) -> None:
    (cause,) = explain(
        "# [Bug] ImportError: cannot import name 'sgl_per_token_group_quant_fp8'\n\nHelp\n", tmp_path
    ).causes
    assert cause.rule.slug == "kernel-function-missing"
    assert cause.params["symbol"] == "sgl_per_token_group_quant_fp8"
    assert causes("# [Bug] ImportError: cannot import name 'nobody_knows_this_name'\n\nHelp\n", tmp_path) == []


def transcript(*names: str, count: int = 0) -> str:
    listed = "".join(f" + {name}==1.0\n" for name in names)
    return f"$ uv pip install sglang\nInstalled {count or len(names)} packages in 4ms\n{listed}\nDone.\n"


def installed(text: str, folder: Path) -> list[tuple[str, bool]]:
    return [(row["asked"], row["server"]) for row in read(text, folder).facts.rows("log.installed")]


def test_a_transcript_tells_whether_a_server_was_installed(tmp_path: Path) -> None:
    light = ("requests", "sglang", "tqdm")
    assert installed(transcript(*light), tmp_path) == [("sglang", False)]
    assert installed(transcript("fastapi", *light), tmp_path) == [("sglang", True)]
    assert installed(transcript("requests", "sglang", count=9), tmp_path) == [], "cut off before torch would come"
    assert installed(transcript("sglang"), tmp_path) == [], "the rest may have been there before"
