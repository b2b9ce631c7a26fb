"""Every format shows the same report with the same exit status, and nothing of a log comes to life in it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sgldoctor import pipeline
from sgldoctor.cli.common import FORMATS
from sgldoctor.facts import Facts
from sgldoctor.report import as_html, as_junit, as_markdown, as_sarif
from sgldoctor.report.as_sarif import uri
from sgldoctor.report.model import Ignored, Report
from tests.report.standards import SARIF, junit_faults
from tests.rules.make import exceptions, log_rule, rule

HOSTILE = [
    "<script>alert(1)</script>",
    "]]><!--",
    "--><img src=x onerror=alert(1)>",
    "\x1b[31mred\x1b]0;title\x07\x00\x9b2J\u202e",
    "```\n</details>\n# heading",
    "@octocat closes #12 [x](javascript:alert(1))",
    "' onmouseover='alert(1)\" x=\"",
    "\ud800 lone \uffff",
    "api_key='sesame-open-12345'",
]
RENDER = {"html": as_html.render, "junit": as_junit.render, "markdown": as_markdown.render, "sarif": as_sarif.render}
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def report(text: str = "x", *, strict: bool = False) -> Report:
    """A report with everything in it, and ``text`` wherever a log or a machine may put one."""
    facts = Facts()
    facts.put("packages", [{"name": text, "version": text}], "probe")
    facts.put("gpus", [{"index": text, "name": text, "numa": 0}, {"index": 1, "name": text, "numa": 1}], "probe")
    facts.put("gpu.links", [{"first": text, "second": 1, "p2p": True, "nvlinks": 2}], "probe")
    facts.put("interfaces", [{"name": text, "up": True, "addresses": [text], "numa": 0}], "probe")
    facts.put_unknown(text, text)
    fix = [{"title": text, "safety": "manual", "action": [{"do": "manual", "text": text, "command": text}]}]
    rules = [
        log_rule("real", "real-fault", title=f"title {text}", about=text, explains=["echo"], fix=fix),
        log_rule("echo", "echo-line", role="symptom", references=[text, "https://example.org/1"]),
        rule("odd", severity="warning", log=[{"anchor": "odd-thing", "pattern": "odd-thing (?P<name>.{0,99})"}]),
        rule("note", role="notice", log=[{"anchor": "note-this"}]),
        rule("known", log=[{"anchor": "known-thing"}]),
    ]
    lines = ["real-fault", "echo-line", "odd-thing", "note-this", "known-thing"]
    events = [event._replace(rank=text, source=text) for event in exceptions(*(f"{line} {text}" for line in lines))]
    ignore = (Ignored("known", text or "because", "9999-01-01"),)
    return pipeline.conclude("explain", facts, events, rules, pipeline.Options(ignore=ignore, strict=strict))


def only(*texts: str) -> Report:
    rules = [log_rule("real", "real-fault"), log_rule("echo", "echo-line", role="symptom")]
    return pipeline.conclude("explain", Facts(), exceptions(*texts), rules, pipeline.Options())


class Tags(HTMLParser):
    """The elements and attributes of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def sarif(found: Report) -> dict[str, Any]:
    log: dict[str, Any] = json.loads(as_sarif.render(found))
    jsonschema.Draft202012Validator(SARIF).validate(log)
    (run,) = log["runs"]
    rules = [entry["id"] for entry in run["tool"]["driver"]["rules"]]
    assert len(set(rules)) == len(rules)
    for result in run["results"]:
        assert "ruleIndex" not in result or rules[result["ruleIndex"]] == result["ruleId"]
        assert result["ruleId"] in rules
    return dict(run)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("form", RENDER)
def test_a_hostile_text_stays_a_text(form: str, text: str) -> None:
    inert(form, RENDER[form](report(text)))


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60))
def test_any_text_stays_a_text(text: str) -> None:
    for form, render in RENDER.items():
        inert(form, render(report(text)))
    sarif(report(text))


def inert(form: str, shown: str) -> None:
    """No control character, no secret, and no more structure than a report with a plain text has."""
    assert not CONTROL.search(shown)
    assert "sesame" not in shown
    if form == "html":
        page = Tags(shown)
        assert page.tags.count("script") == 1
        assert not {"img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
        assert not [name for name, _ in page.attributes if name.startswith("on")]
        links = [value for name, value in page.attributes if name in ("href", "src")]
        assert all(value.startswith(("#", "https://")) or value == "data:," for value in links)
        assert set(page.tags) == set(Tags(as_html.render(report())).tags)
    elif form == "junit":
        assert junit_faults(shown) == []
        root = ET.fromstring(shown)
        plain = ET.fromstring(as_junit.render(report()))
        assert [node.tag for node in root.iter()] == [node.tag for node in plain.iter()]
    elif form == "markdown":
        outside = fenceless(shown)
        assert outside.count("<details>") == outside.count("</details>")
        assert not re.search(r"@\w|(?<!&)#\d|<(?!/?details>|/?summary>|/?sub>|!-- -->|https://)", outside)
        assert not re.search(r"(?<!\\)\]\(", outside)


def fenceless(text: str) -> str:
    """Markdown without its blocks of code."""
    kept, fence = [], ""
    for line in text.split("\n"):
        run = re.match(r"`{3,}", line)
        if fence:
            fence = "" if line == fence else fence
        elif run:
            fence = run.group()
        else:
            kept.append(line)
    assert not fence
    return "\n".join(kept)


@pytest.mark.parametrize("strict", [False, True])
def test_sarif_names_files_and_lines(strict: bool) -> None:
    run = sarif(report("logs/node 0.log", strict=strict))
    assert run["invocations"][0]["exitCode"] == 1
    first = run["results"][0]
    place = first["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "logs/node%200.log"
    assert place["region"]["startLine"] == 1
    assert first["level"] == "error"
    assert first["relatedLocations"][0]["message"]["text"].startswith("symptom: echo")
    assert [result["ruleId"] for result in run["results"]] == ["real", "odd", "note"]


@pytest.mark.skipif("SGLDOCTOR_TEST_SARIF" not in os.environ, reason="SGLDOCTOR_TEST_SARIF names no copy of the schema")
@pytest.mark.parametrize("text", HOSTILE)
def test_sarif_fits_the_schema_of_the_standard(text: str) -> None:
    schema = json.loads(Path(os.environ["SGLDOCTOR_TEST_SARIF"]).read_text(encoding="utf-8"))
    check = jsonschema.validators.validator_for(schema)(schema)
    for found in (report(text), only(), only("echo-line"), only("ValueError: never seen")):
        assert [error.message for error in check.iter_errors(json.loads(as_sarif.render(found)))] == []


def altered(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], str]]:
    """Every place of a document with what may be done to it."""
    if isinstance(value, dict):
        for name, entry in value.items():
            yield (*path, name), "gone"
            yield (*path, name), "named otherwise"
            yield from altered(entry, (*path, name))
    elif isinstance(value, list):
        for number, entry in enumerate(value):
            yield from altered(entry, (*path, number))
    if path:
        yield path, "of another type"


def spoiled(document: Any, path: tuple[Any, ...], how: str) -> Any:
    """A copy of the document with one place altered."""
    copy = json.loads(json.dumps(document))
    *way, last = path
    place = copy
    for step in way:
        place = place[step]
    value = place[last]
    if how == "of another type":
        place[last] = [] if isinstance(value, str | int) else "x"
    else:
        del place[last]
        if how == "named otherwise":
            place[f"{last}X"] = value
    return copy


@pytest.mark.skipif("SGLDOCTOR_TEST_SARIF" not in os.environ, reason="SGLDOCTOR_TEST_SARIF names no copy of the schema")
def test_what_the_schema_of_the_standard_refuses_ours_does() -> None:
    schema = json.loads(Path(os.environ["SGLDOCTOR_TEST_SARIF"]).read_text(encoding="utf-8"))
    theirs, ours = jsonschema.validators.validator_for(schema)(schema), jsonschema.Draft202012Validator(SARIF)
    document = json.loads(as_sarif.render(report()))
    wrong = [(path, how) for path, how in altered(document) if not theirs.is_valid(spoiled(document, path, how))]
    assert len(wrong) > 100
    assert [one for one in wrong if ours.is_valid(spoiled(document, *one))] == []


def test_a_document_that_is_spoiled_is_refused() -> None:
    """The schema that the other tests trust is not one that lets everything pass."""
    document = json.loads(as_sarif.render(report()))
    ours = jsonschema.Draft202012Validator(SARIF)
    allowed = [
        (path, how) for path, how in altered(document) if how == "named otherwise" and "properties" not in path[:-1]
        and path[-2:-1] != ("partialFingerprints",) and ours.is_valid(spoiled(document, path, how))
    ]  # fmt: skip
    assert allowed == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<testsuite ", "<suite "), ("testsuite>", "suite>"), (' tests="', ' test="'),
        ('failures="1"', 'failures="one"'),
        ("<properties>", "<properties>x"), ("classname=", "class="), ("<failure ", '<failure line="1" '),
        ("<testsuites name", '<testsuites skipped="1" name'),
    ],
)  # fmt: skip
def test_a_junit_document_that_is_spoiled_is_refused(old: str, new: str) -> None:
    text = as_junit.render(report())
    assert junit_faults(text) == []
    assert old in text
    spoilt = text.replace(old, new)
    spoilt = spoilt.replace("</testsuite>", "</suite>") if new == "<suite " else spoilt
    spoilt = spoilt.replace("<testsuite ", "<suite ") if new == "suite>" else spoilt
    assert junit_faults(spoilt)


@pytest.mark.skipif("SGLDOCTOR_TEST_JUNIT" not in os.environ, reason="SGLDOCTOR_TEST_JUNIT names no copy of the schema")
@pytest.mark.parametrize("text", HOSTILE)
def test_junit_fits_the_schema_of_jenkins(text: str, tmp_path: Path) -> None:
    schema = os.environ["SGLDOCTOR_TEST_JUNIT"]
    for found in (report(text), report(text, strict=True), only(), only("ValueError: never seen")):
        (tmp_path / "report.xml").write_text(as_junit.render(found), encoding="utf-8")
        command = ["xmllint", "--noout", "--schema", schema, str(tmp_path / "report.xml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_sarif_of_an_unexplained_failure_and_of_nothing() -> None:
    assert [result["ruleId"] for result in sarif(only("ValueError: never seen"))["results"]] == ["unexplained-failure"]
    assert sarif(only())["results"] == []


@pytest.mark.parametrize(
    ("path", "wanted"),
    [("a/b.sh", "a/b.sh"), ("./a.sh", "a.sh"), ("/x/y z", "file:///x/y%20z"), ("c:x", "c%3Ax"), ("é", "%C3%A9")],
)
def test_paths_as_uri(path: str, wanted: str) -> None:
    assert uri(path) == wanted


@pytest.mark.parametrize(
    ("found", "failures", "errors", "skipped"),
    [
        (only(), 0, 0, 0),
        (only("real-fault"), 1, 0, 0),
        (only("ValueError: never seen"), 1, 0, 0),
        (report(), 1, 0, 2),
        (report(strict=True), 2, 0, 2),
    ],
)
def test_junit_counts_what_the_verdict_counts(found: Report, failures: int, errors: int, skipped: int) -> None:
    root = ET.fromstring(as_junit.render(found))
    suite = root[0]
    for name, wanted in {"failures": failures, "errors": errors, "skipped": skipped}.items():
        assert int(suite.attrib[name]) == wanted
        assert name == "skipped" or root.attrib[name] == suite.attrib[name]  # Jenkins knows "skipped" of a suite only
    assert int(suite.attrib["tests"]) == len(suite.findall("testcase")) >= 1
    for tag, wanted in {"failure": failures, "error": errors, "skipped": skipped}.items():
        assert len(suite.findall(f"testcase/{tag}")) == wanted


def test_an_essential_gap_is_an_error_in_junit() -> None:
    facts = Facts()
    facts.put_unknown("packages", "no answer", essential=True)
    found = pipeline.conclude("check", facts, (), [], pipeline.Options())
    assert ET.fromstring(as_junit.render(found)).attrib["errors"] == "1"
    assert found.exit_status == 3


def test_markdown_fits_into_an_issue() -> None:
    text = as_markdown.render(report("0123456789abcdef " * 8000))
    assert len(text) < 65_536
    inert("markdown", text)
    facts = Facts()
    facts.put("packages", [{"name": f"n{number}", "version": "1"} for number in range(9000)], "probe")
    text = as_markdown.render(pipeline.conclude("check", facts, (), [], pipeline.Options()))
    assert len(text) < 65_536
    assert "--format json" in text


LOG = """INFO start
Traceback (most recent call last):
  File "/x/sgl_kernel/__init__.py", line 5, in <module>
    import torch
ImportError: libcudnn.so.9: cannot open shared object file: No such file or directory
after <b>it</b>
api_key=sesame-open-12345
"""


def run(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sgldoctor", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, encoding="utf-8")


def test_every_format_from_the_command_line_with_one_exit_status(tmp_path: Path) -> None:
    log = tmp_path / "crash.log"
    log.write_text(LOG)
    for form in FORMATS:
        out = tmp_path / f"out.{form}"
        shown = run("explain", str(log), "--format", form)
        kept = run("explain", str(log), "--format", form, "-o", str(out))
        assert (shown.returncode, kept.returncode) == (1, 1), kept.stderr
        assert kept.stdout == ""
        timeless = re.compile(r'time="[\d.]+"|"\w+": \d\.\d+')
        assert timeless.sub("", out.read_text(encoding="utf-8")) == timeless.sub("", shown.stdout)
        assert "libcudnn.so.9" in shown.stdout
        assert "sesame" not in shown.stdout
    page = (tmp_path / "out.html").read_text(encoding="utf-8")
    assert "after &lt;b&gt;it&lt;/b&gt;" in page, "the lines around the evidence"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["crash.log", *(f"out.{f}" for f in FORMATS)])


def test_an_output_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    done = run("explain", "-", "-o", str(tmp_path / "no" / "x.html"), stdin=LOG)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
