"""The report of many nodes: each group judged like one machine, equal causes joined, and what differs between nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from sgldoctor import pipeline
from sgldoctor.derive.launch import options as launch_options
from sgldoctor.facts import Facts, Row
from sgldoctor.fix.recipe import Fix
from sgldoctor.fleet import drift, launches
from sgldoctor.fleet.gather import Fleet, Group, columns
from sgldoctor.fleet.ranges import short
from sgldoctor.fleet.reduce import hide_own
from sgldoctor.fleet.sources import Item
from sgldoctor.pipeline import Options
from sgldoctor.report.model import HEALTHY, PROBLEMS, UNKNOWN, Ignored, Node, Report, key
from sgldoctor.report.text import counted
from sgldoctor.rules.load import load
from sgldoctor.rules.schema import ROLES, SEVERITIES, Evidence, Finding, Rule
from sgldoctor.typed import NamedTuple

DRIFT_SHOWN = 500
"""Differences that the report lists."""


class Judged(NamedTuple):
    """A group with its report, of which the facts are not kept."""

    group: Group
    report: Report


def gather(items: Iterable[Item], options: Options) -> Fleet:
    """Read all snapshots."""
    fleet = Fleet(columns(load(options.folders)))
    fleet.add_all(items)
    return fleet


def report(fleet: Fleet, options: Options, areas: Sequence[str] = ()) -> Report:
    """The report of a fleet."""
    judged: list[Judged] = []
    lines: list[launches.Line] = []
    for group in fleet.groups:
        facts = fleet.facts(group)
        name = str(facts.value("python", "executable") or facts.value("python", "prefix") or group.first)
        found = pipeline.judge(facts, name, areas, options)
        lines += _lines(fleet, group, facts)
        kept = Facts()
        kept.unknown = facts.unknown
        bare = tuple(finding._replace(events=(), rows=()) for finding in found.findings)
        judged.append(Judged(group, found._replace(facts=kept, findings=bare)))
    marks: dict[str, Sequence[int]] = {}
    between = _between(fleet, lines, options, marks)
    return _together(fleet, judged, between, marks, options)


def _lines(fleet: Fleet, group: Group, facts: Facts) -> list[launches.Line]:
    """The launch lines of the nodes of a group: alike, but for the ranks."""
    if not facts.known("launch.argument"):
        return []
    if not facts.known("launch.option"):
        facts.merge(launch_options(facts))
    first = fleet.addresses.get(group.nodes[0], [])
    found = {
        str(row["flag"]): hide_own(str(row.get("value") or ""), first) if row.get("known", True) else None
        for row in facts.rows("launch.option")
    }
    head = found.pop(launches.HEAD, None)
    lines = []
    for node in group.nodes:
        met = head and fleet.heads.get(node, head)
        own = fleet.addresses.get(node, [])
        lines.append(launches.Line(fleet.names[node], fleet.ranks.get(node), own, met or "", found))
    return lines


def _between(fleet: Fleet, lines: Sequence[launches.Line], options: Options, marks: dict[str, Sequence[int]]) -> Report:
    """What is wrong between nodes: the facts of the fleet, and the findings of rules about them.

    Into ``marks`` comes, by the text of each row, which nodes it is about.
    """
    facts = Facts()
    differences = drift.differences([(fleet.alike(group), group.nodes) for group in fleet.groups])
    facts.put("fleet", {"nodes": len(fleet.names), "groups": len(fleet.groups), "unread": len(fleet.unread)}, "derived")
    rows = drift.rows(differences, fleet.names)
    facts.put("fleet.drift", rows[:DRIFT_SHOWN], "derived")
    apart = (nodes for one in differences for _, nodes in one.values[1:])
    marks.update(zip((str(row["text"]) for row in rows), apart, strict=True))
    if len(rows) > DRIFT_SHOWN:
        facts.put_unknown("fleet.drift", f"{len(rows) - DRIFT_SHOWN} more differences are not listed")
    places = {name: node for node, name in enumerate(fleet.names)} if lines or fleet.skews else {}
    if lines:
        problems = launches.problems(lines)
        facts.put("fleet.launch", [problem.row for problem in problems], "derived")
        marks.update({str(one.row["text"]): [places[name] for name in one.nodes] for one in problems})
    if fleet.skews:
        clocks = launches.clocks({fleet.names[node]: skew for node, skew in fleet.skews.items()})
        facts.put("fleet.clock", clocks, "derived")
        marks.update({str(row["text"]): [places[str(row["node"])]] for row in clocks})
    facts.put("fleet.unread", _unread(fleet), "derived")
    if not fleet.names and not fleet.unread:
        facts.put_unknown(
            "nodes",
            "there is no snapshot in what was given; 'sgldoctor snapshot' writes one on each node",
            essential=True,
        )
    rules: list[Rule] = [rule for rule in load(options.folders) if any(m.each.startswith("fleet") for m in rule.facts)]
    return pipeline.conclude("fleet", facts, (), rules, options, ("none",))


def _unread(fleet: Fleet) -> list[Row]:
    """The nodes without a snapshot, one row for each reason."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for entry in fleet.unread:
        reasons.setdefault((entry.kind, entry.because), []).append(entry.node)
    return [
        {
            "node": short(nodes),
            "kind": kind,
            "because": because,
            "count": len(nodes),
            "text": f"{short(nodes)}: {because}",
        }
        for (kind, because), nodes in reasons.items()
    ]


def _together(
    fleet: Fleet,
    judged: Sequence[Judged],
    between: Report,
    marks: Mapping[str, Sequence[int]],
    options: Options,
) -> Report:
    total = len(fleet.names)
    held: dict[str, tuple[Finding, list[Judged]]] = {}
    fixes: dict[str, tuple[Fix, ...]] = dict(between.fixes)
    ignored: dict[str, Ignored] = {entry.rule: entry for entry in between.ignored}
    for one in judged:
        for finding in one.report.findings:
            name = key(finding)
            best, where = held.get(name, (finding, []))
            # What is a cause on any node is a cause of the fleet.
            held[name] = (finding if ROLES.index(finding.role) < ROLES.index(best.role) else best, [*where, one])
        fixes = {**one.report.fixes, **fixes}
        for entry in one.report.ignored:
            times = ignored[entry.rule].times if entry.rule in ignored else 0
            ignored[entry.rule] = entry._replace(times=times + entry.times * len(one.group.nodes))
    joined = [_joined(finding, where, fleet, total) for finding, where in held.values()]
    ranked = sorted(
        [*between.findings, *joined],
        key=lambda one: (ROLES.index(one.role), SEVERITIES.index(one.severity), -_reach(one, total), _likely(one)),
    )
    _gaps(between.facts, judged, fleet)
    return Report(
        command="fleet",
        facts=between.facts,
        findings=tuple(ranked),
        fixes=fixes,
        ignored=tuple(ignored.values()),
        failures=(),
        strict=options.strict,
        nodes=_nodes(fleet, judged, _apart(between, marks)),
    )


def _likely(finding: Finding) -> int:
    """The place of a difference among all of them; launch lines that do not fit come before any."""
    rank = finding.params.get("rank")
    return rank if isinstance(rank, int) and finding.rule.area == "fleet" else 0


def _reach(finding: Finding, total: int) -> int:
    """How much of the fleet a finding is about; what lies between nodes is about all of them."""
    return int(finding.params.get("nodes", total)) if "of" in finding.params else total


def _joined(finding: Finding, where: Sequence[Judged], fleet: Fleet, total: int) -> Finding:
    nodes = [node for one in where for node in one.group.nodes]
    count = len(nodes)
    if total == 1:
        said = ""
    elif count == total:
        said = f"all {total} nodes: "
    else:
        said = f"{count} of {total} nodes: "
    first = where[0].group
    listed = Evidence("snapshot", f"on {short(fleet.names[node] for node in sorted(nodes))}")
    shown = [entry._replace(source="snapshot", file=first.file) for entry in finding.evidence]
    params = {**finding.params, "nodes": count, "of": total}
    return finding._replace(
        title=f"{said}{finding.title}", evidence=(listed, *shown), times=len(shown) + 1, params=params
    )


def _gaps(facts: Facts, judged: Sequence[Judged], fleet: Fleet) -> None:
    """What could not be examined, with the nodes where; equal gaps as one."""
    found: dict[tuple[str, bool], list[tuple[str, Group]]] = {}
    for one in judged:
        for entry in one.report.facts.unknown:
            found.setdefault((entry.what, entry.essential), []).append((entry.because, one.group))
    total = len(fleet.names)
    for (what, essential), places in found.items():
        nodes = [node for _, group in places for node in group.nodes]
        reasons = list(dict.fromkeys(because for because, _ in places))
        more = f" (and {len(reasons) - 1} other reasons)" if len(reasons) > 1 else ""
        on = "all nodes" if len(nodes) == total else short(fleet.names[node] for node in sorted(set(nodes)))
        facts.put_unknown(what, f"on {on}: {reasons[0]}{more}", essential=essential)
    for item in fleet.passed:
        facts.put_unknown(f"{counted(item.passed, 'line')} of {item.name}", f"passed over: {item.because}")
    for row in facts.rows("fleet.unread"):
        facts.put_unknown(f"{row['count']} of {total + len(fleet.unread)} nodes", str(row["text"]), essential=True)


def _apart(between: Report, marks: Mapping[str, Sequence[int]]) -> dict[int, list[Finding]]:
    """By node the causes between nodes that are about it: in what it differs, or what its launch line does."""
    found: dict[int, list[Finding]] = {}
    for finding in between.causes:
        nodes = {node for row in finding.rows for node in marks.get(str(row.get("text")), ())}
        for node in nodes:
            found.setdefault(node, []).append(finding)
    return found


def _nodes(fleet: Fleet, judged: Sequence[Judged], apart: dict[int, list[Finding]]) -> tuple[Node, ...]:
    verdicts: dict[int, tuple[str, tuple[str, ...]]] = {}
    for one in judged:
        status = one.report.status
        causes = tuple(finding.title for finding in one.report.causes)
        verdicts.update(dict.fromkeys(one.group.nodes, (status, causes)))
    for node, findings in apart.items():
        status, causes = verdicts.get(node, (HEALTHY, ()))
        if any(finding.severity == "error" for finding in findings):
            status = PROBLEMS
        verdicts[node] = (status, (*causes, *(finding.title for finding in findings)))
    found = [Node(name, *verdicts.get(place, (HEALTHY, ()))) for place, name in enumerate(fleet.names)]
    found += [Node(entry.node, UNKNOWN, (), entry.because) for entry in fleet.unread]
    return tuple(found)
