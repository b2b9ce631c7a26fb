"""What SARIF 2.1.0 and Jenkins' JUnit format allow, for the parts that are written here; both refuse anything else.

Written after sections 3.13 to 3.58 of the SARIF standard (``additionalProperties`` are forbidden in nearly all of its
objects), and after what Jenkins' xunit plugin accepts. Where a copy of the published schemas is at hand,
``SGLDOCTOR_TEST_SARIF`` and ``SGLDOCTOR_TEST_JUNIT`` name it and the tests use it as well.
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

Schema = dict[str, Any]


def strict(required: str, **properties: Schema) -> Schema:
    """An object with these properties and no others."""
    return {
        "type": "object",
        "required": required.split(),
        "additionalProperties": False,
        "properties": properties,
    }


TEXT: Schema = {"type": "string"}
WORDS: Schema = {"type": "string", "minLength": 1}
BAG: Schema = {"type": "object"}
MESSAGE = strict("text", text=WORDS)
LEVEL: Schema = {"enum": ["none", "note", "warning", "error"]}
URI: Schema = {"type": "string", "pattern": r"^(?:[A-Za-z0-9._~:/?#@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+$"}


def count(least: int) -> Schema:
    """A number from ``least`` on."""
    return {"type": "integer", "minimum": least}


def many(of: Schema, **more: Any) -> Schema:
    """A list."""
    return {"type": "array", "items": of, **more}


PLACE = strict(
    "artifactLocation",
    artifactLocation=strict("uri", uri=URI),
    region=strict("startLine", startLine=count(1), snippet=strict("text", text=TEXT)),
)
LOGICAL = strict("name", name=TEXT, fullyQualifiedName=TEXT, kind=TEXT)
LOCATION: Schema = {
    **strict(
        "", id=count(0), message=MESSAGE, physicalLocation=PLACE, logicalLocations=many(LOGICAL, uniqueItems=True)
    ),
    "anyOf": [{"required": ["physicalLocation"]}, {"required": ["logicalLocations"]}],
}
RULE = strict(
    "id",
    id=WORDS,
    shortDescription=MESSAGE,
    fullDescription=MESSAGE,
    help=MESSAGE,
    helpUri={**URI, "pattern": "^https://"},
    defaultConfiguration=strict("level", level=LEVEL),
    properties={
        "type": "object",
        "properties": {
            "tags": many(WORDS, uniqueItems=True),
            "precision": {"enum": ["very-high", "high", "medium", "low"]},
        },
    },
)
RESULT = strict(
    "message locations ruleId",
    ruleId=WORDS,
    ruleIndex=count(0),
    level=LEVEL,
    message=MESSAGE,
    locations=many(LOCATION, minItems=1, maxItems=1),
    relatedLocations=many(LOCATION, uniqueItems=True),
    partialFingerprints={"type": "object", "additionalProperties": TEXT},
    occurrenceCount=count(1),
    properties=BAG,
)
INVOCATION = strict(
    "executionSuccessful",
    executionSuccessful={"type": "boolean"},
    exitCode={"type": "integer"},
    toolExecutionNotifications=many(strict("message", message=MESSAGE, level=LEVEL)),
)
RUN = strict(
    "tool",
    tool=strict("driver", driver=strict("name", name=WORDS, version=TEXT, rules=many(RULE, uniqueItems=True))),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
    invocations=many(INVOCATION, uniqueItems=True),
    results=many(RESULT),
    properties=BAG,
)
SARIF: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **strict("version runs", **{"$schema": URI, "version": {"const": "2.1.0"}, "runs": many(RUN, minItems=1)}),
}

_COUNTS = {"name": "", "tests": r"\d+", "failures": r"\d+", "errors": r"\d+"}
_TIME = r"\d*(?:\.\d*)?"
_PROBLEM: tuple[dict[str, str], dict[str, str], str] = ({}, {"message": "", "type": ""}, "")
JUNIT: dict[str, tuple[dict[str, str], dict[str, str], str]] = {
    # element: attributes that must be there, others that may, elements in it
    "testsuites": ({}, {**_COUNTS, "time": _TIME}, "testsuite"),
    "testsuite": (_COUNTS, {"skipped": r"\d+", "time": _TIME}, "properties testcase system-out system-err"),
    "properties": ({}, {}, "property"),
    "property": ({"name": "", "value": ""}, {}, ""),
    "testcase": ({"name": "", "classname": ""}, {"time": _TIME}, "skipped error failure system-out system-err"),
    "failure": _PROBLEM,
    "error": _PROBLEM,
    "skipped": _PROBLEM,
    "system-out": ({}, {}, ""),
    "system-err": ({}, {}, ""),
}


def junit_faults(text: str) -> list[str]:
    """In what a document is not as Jenkins wants it."""
    root = ET.fromstring(text)
    faults = [] if root.tag in ("testsuites", "testsuite") else [f"<{root.tag}> at the top"]
    for node in root.iter():
        if node.tag not in JUNIT:
            faults.append(f"<{node.tag}>")
            continue
        must, may, inside = JUNIT[node.tag]
        faults += [f"<{node.tag}> without {name}" for name in must if name not in node.attrib]
        faults += [f"<{node.tag} {name}>" for name in node.attrib if name not in {**must, **may}]
        faults += [
            f"<{node.tag} {name}={value!r}>"
            for name, value in node.attrib.items()
            if (form := {**must, **may}.get(name)) and not re.fullmatch(form, value)
        ]
        faults += [f"<{child.tag}> in <{node.tag}>" for child in node if child.tag not in inside.split()]
        if (
            node.tag in ("testsuites", "testsuite", "properties", "testcase")
            and "".join([node.text or "", *(child.tail or "" for child in node)]).strip()
        ):
            faults.append(f"text in <{node.tag}>")
    return faults
