"""The JSON schema of a report, as shipped."""

from __future__ import annotations


def text() -> str:
    """``report.schema.json``: draft 2020-12, one document for every command that reports."""
    import os

    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "report.schema.json")
    with open(path, encoding="utf-8") as stream:
        return stream.read()
