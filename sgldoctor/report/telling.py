"""What several formats say alike: the report's plain object, taken apart for a reader.

Everything here works on :func:`sgldoctor.report.as_json.to_object`, which is redacted and free of control characters
already, so that no format can forget either.
"""

from __future__ import annotations

from sgldoctor.typed import Any

Entry = dict[str, Any]

WORDS = {"error": "Cause", "warning": "Warning", "info": "Notice"}


def of_role(data: Entry, role: str) -> list[Entry]:
    """The findings of one role, best first."""
    return [finding for finding in data["findings"] if finding["role"] == role]


def key(finding: Entry) -> str:
    """What ``explained_by`` names a finding by."""
    return f"{finding['rule']}:{finding['subject']}" if finding["subject"] else str(finding["rule"])


def explained(data: Entry, cause: Entry) -> list[Entry]:
    """The symptoms that a cause explains."""
    name = key(cause)
    return [finding for finding in of_role(data, "symptom") if finding["explained_by"] == name]


def alone(data: Entry) -> list[Entry]:
    """Symptoms without a cause in this report."""
    return [finding for finding in of_role(data, "symptom") if not finding["explained_by"]]


def place(evidence: Entry) -> str:
    """Where a piece of evidence stands: ``line 812 of crash.log (rank 0)``."""
    text = f"line {evidence['line']}" if evidence.get("line") else str(evidence["source"])
    if evidence.get("file") not in (None, "", "-"):
        text += f" of {evidence['file']}"
    if evidence.get("rank"):
        text += f" (rank {evidence['rank']})"
    return text


def command(action: Entry) -> str:
    """What a person would type for an action, or ``""``."""
    return str(action.get("command") or "")


def describe(action: Entry) -> str:
    """An action without a command, in words."""
    if action["do"] == "set-flag":
        return f"Add to the launch line: {action.get('text') or action['flag']}"
    if action["do"] == "remove-flag":
        return f"Take out of the launch line: {action['flag']}"
    if action.get("text"):
        return str(action["text"])
    rest = {name: value for name, value in action.items() if name not in ("do", "command", "verify") and value}
    return f"{action['do']} " + ", ".join(f"{name} {shown(value)}" for name, value in rest.items())


def shown(value: Any) -> str:
    """A plain value as text."""
    if isinstance(value, list):
        return ", ".join(shown(entry) for entry in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {shown(entry)}" for name, entry in value.items())
    return "" if value is None else str(value)


def repaired(data: Entry) -> str:
    """What ``--fix`` came to, in one line; ``""`` where nothing was to be repaired."""
    fixed = data.get("fixed") or {}
    result, because = shown(fixed.get("result")), shown(fixed.get("because"))
    return result + (f": {because}" if because else "")


def tables(data: Entry) -> list[tuple[str, str, list[Entry]]]:
    """Every fact as (name, source, rows)."""
    found = []
    for name, fact in data["facts"].items():
        single = {column: value for column, value in fact.items() if column not in ("source", "rows")}
        found.append((name, str(fact["source"]), list(fact["rows"]) if "rows" in fact else [single]))
    return found


def rows(data: Entry, name: str) -> list[Entry]:
    """The rows of one fact; none where it is unknown."""
    return next((found for fact, _, found in tables(data) if fact == name), [])
