"""What changed since an earlier snapshot, for people."""

from __future__ import annotations

from sgldoctor.facts import Facts
from sgldoctor.report.human import MARGIN, Line, paragraph, safe
from sgldoctor.report.text import shorten

SHOWN = 10


def layout(facts: Facts, width: int, verbosity: int) -> list[Line]:
    """The rows of the fact ``changes``, most likely culprit first; all of them where ``verbosity`` is above 0."""
    rows = facts.rows("changes")
    base = facts.one("changes.base")
    since = safe(f"since {base.get('taken') or 'the snapshot'}" + (f" on {base['host']}" if base.get("host") else ""))
    if not rows:
        return [[], *paragraph("changed", f"nothing {since}", width)]
    lines: list[Line] = [[], *paragraph("changed", f"{since}, most likely culprit first:", width)]
    shown = rows if verbosity > 0 else rows[:SHOWN]
    for row in shown:
        text = shorten(safe(f"{row.get('kind')} {row.get('text')}"), max(width - MARGIN, 30) * 2)
        blamed = f"  [{row['blamed_by']}]" if row.get("blamed_by") else ""
        lines.append([("text", " " * MARGIN), ("text", text), ("dim", blamed)])
    if len(rows) > len(shown):
        lines.append([("text", " " * MARGIN), ("dim", f"and {len(rows) - len(shown)} more (-v shows them)")])
    return lines
