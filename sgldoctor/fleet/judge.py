"""The report of many nodes: each group judged like one machine, equal causes joined, and what differs between nodes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sgldoctor import pipeline
from sgldoctor.derive.launch import options as launch_options
from sgldoctor.facts import Facts, Row
from sgldoctor.fix.recipe import Fix
from sgldoctor.fleet import drift, launches
from sgldoctor.fleet.gather import Fleet, Group, columns
from sgldoctor.fleet.ranges import short
from sgldoctor.fleet.reduce import OWN
from sgldoctor.fleet.sources import Item
from sgldoctor.pipeline import Options
from sgldoctor.report.model import HEALTHY, PROBLEMS, UNKNOWN, Ignored, Node, Report, key
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
    differences = drift.differences([(fleet.alike(group), group.nodes) for group in fleet.groups])
    between = _between(fleet, lines, differences, options)
    return _together(fleet, judged, between, differences, options)


def _lines(fleet: Fleet, group: Group, facts: Facts) -> list[launches.Line]:
    """The launch lines of the nodes of a group: alike, but for the ranks."""
    if not facts.known("launch.argument"):
        return []
    if not facts.known("launch.option"):
        facts.merge(launch_options(facts))
    found = {
        str(row["flag"]): str(row.get("value") or "") if row.get("known", True) else None
        for row in facts.rows("launch.option")
    }
    head = found.get("--dist-init-addr")
    alike = [str(row.get("text")) for row in fleet.alike(group).get("launch.argument", ())]
    if head and len(group.nodes) > 1 and any(OWN in text and text.endswith(head.rpartition(":")[2]) for text in alike):
        found["--dist-init-addr"] = f"{OWN}:{head.rpartition(':')[2]}"
    return [
        launches.Line(fleet.names[node], fleet.ranks.get(node), fleet.addresses.get(node, []), found)
        for node in group.nodes
    ]


def _between(
    fleet: Fleet, lines: Sequence[launches.Line], differences: Sequence[drift.Difference], options: Options
) -> Report:
    """What is wrong between nodes: the facts of the fleet, and the findings of rules about them."""
    facts = Facts()
    facts.put("fleet", {"nodes": len(fleet.names), "groups": len(fleet.groups), "unread": len(fleet.unread)}, "derived")
    rows = drift.rows(differences, fleet.names)
    facts.put("fleet.drift", rows[:DRIFT_SHOWN], "derived")
    if len(rows) > DRIFT_SHOWN:
        facts.put_unknown("fleet.drift", f"{len(rows) - DRIFT_SHOWN} more differences are not listed")
    if lines:
        facts.put("fleet.launch", launches.problems(lines), "derived")
    if fleet.skews:
        facts.put(
            "fleet.clock", launches.clocks({fleet.names[node]: skew for node, skew in fleet.skews.items()}), "derived"
        )
    facts.put("fleet.unread", _unread(fleet), "derived")
    if not fleet.names and not fleet.unread:
        facts.put_unknown("nodes", "no snapshot could be read", essential=True)
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
    differences: Sequence[drift.Difference],
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
        nodes=_nodes(fleet, judged, _apart(between, differences)),
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
    for row in facts.rows("fleet.unread"):
        facts.put_unknown(f"{row['count']} of {total + len(fleet.unread)} nodes", str(row["text"]), essential=True)


def _apart(between: Report, differences: Sequence[drift.Difference]) -> dict[int, list[Finding]]:
    """By node the causes that say in what it differs from the others."""
    causes = {
        (finding.params.get("kind"), finding.params.get("what"), finding.params.get("value")): finding
        for finding in between.causes
    }
    found: dict[int, list[Finding]] = {}
    for one in differences:
        for value, nodes in one.values[1:]:
            cause = causes.get((one.kind, one.what, drift.shown(value)))
            for node in nodes if cause else ():
                found.setdefault(node, []).append(cause)  # type: ignore[arg-type]
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
