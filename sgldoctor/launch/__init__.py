"""Launch lines and the files that hold them, as facts."""

from __future__ import annotations

from collections.abc import Mapping

from sgldoctor.facts import Facts


def facts_of(line: str, environ: Mapping[str, str] | None = None) -> Facts:
    """The facts of a launch line; ``environ`` gives values for variables that it uses but does not set."""
    from sgldoctor.launch.command import facts, parse

    return facts(parse(line, environ))


def model_of(facts: Facts) -> str:
    """The model that a launch line names, ``""`` where it names none or takes it from a variable that is not known.

    The spellings are those that SGLang itself looks for before it parses (``sglang/cli/utils.py:try_get_model_path``),
    and the bare word after ``sglang serve``.
    """
    rows = facts.rows("launch.argument")
    if not rows:
        return ""
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        name, equals, value = str(row["text"]).partition("=")
        if name in ("--model-path", "--model"):
            found = row if equals else after
            return (value if equals else str(found["text"])) if found and found.get("known") else ""
    if rows and facts.value("launch", "entry") == "serve" and not str(rows[0]["text"]).startswith("-"):
        return str(rows[0]["text"]) if rows[0].get("known") else ""
    return ""
