"""``sgldoctor rules``: the rule base, documented and tested."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from sgldoctor.cli import common
from sgldoctor.cli.options import Namespace
from sgldoctor.errors import InputError, UsageError, known
from sgldoctor.report.text import counted
from sgldoctor.rules.load import checkout_folder, load
from sgldoctor.rules.page import describe
from sgldoctor.rules.schema import Rule

EPILOG = """examples:
  sgldoctor rules list --area libraries
  sgldoctor rules show missing-libcudnn
  sgldoctor rules lint my-rules/
  sgldoctor rules test missing-libcudnn        run its fixtures; --accept writes what it found for review
  sgldoctor rules new odd-crash --from crash.log --rules my-rules/    draft a rule and its fixtures
  sgldoctor rules docs > rules.md              all of them, as one page
"""


def main(arguments: list[str]) -> int:
    """Run the command; returns the exit status."""
    made = common.parser("rules", "List, show, lint, test and draft rules.", EPILOG, common.PLAIN)
    made.add_argument("action", choices=("list", "show", "lint", "test", "new", "docs"), help="what to do")
    made.add_argument("names", metavar="NAME", nargs="*", help="rules (show, test, new) or folders (lint)")
    made.add_argument("--area", help="only this area")
    made.add_argument("--cause", help="only rules of this cause")
    made.add_argument("--fixtures", metavar="DIR", help="folder of the fixtures (default: beside the rules)")
    made.add_argument("--accept", action="store_true", help="test: write the findings as accepted")
    made.add_argument("--from", metavar="LOG", default="", help="new: draft it from the failure in this log")
    args = made.parse_args(arguments)
    _fitting(args)
    if args.action == "lint":
        return _lint(args)
    if args.action == "new":
        return _new(args)
    rules = load(common.options(args).folders)
    if args.action == "docs":
        from sgldoctor.rules.page import reference

        common.utf8(reference(rules))
        return 0
    known("--area", [args.area] if args.area else [], {rule.area for rule in rules})
    known("--cause", [args.cause] if args.cause else [], {rule.cause for rule in rules})
    if args.action == "list":
        return _list(args, rules)
    if args.action == "show":
        return _show(args, rules)
    from sgldoctor.cli.fixtures import test

    return test(rules, args.names, _fixtures(args), accept=args.accept)


def _fitting(args: Namespace) -> None:
    """Raise UsageError for what an action would pass over in silence."""
    if args.action in ("list", "docs") and args.names:
        raise UsageError(f"rules {args.action} takes no names; 'sgldoctor rules show {args.names[0]}' shows one rule")
    if args.accept and args.action != "test":
        raise UsageError("--accept goes with 'rules test'")
    if vars(args)["from"] and args.action != "new":
        raise UsageError("--from goes with 'rules new'")
    if args.format == "json" and args.action not in ("list", "show"):
        raise UsageError("--format json goes with 'rules list' and 'rules show'")


def _fixtures(args: Namespace) -> str:
    import os

    if args.fixtures:
        return str(args.fixtures)
    folder = args.rules[0] if args.rules else checkout_folder()
    if folder is None:
        raise UsageError("the fixtures are not installed: name their folder with --fixtures DIR")
    return os.path.join(os.path.dirname(os.path.abspath(folder)), "fixtures")


def _list(args: Namespace, rules: Sequence[Rule]) -> int:
    chosen = [rule for rule in rules if args.area in (None, rule.area) and args.cause in (None, rule.cause)]
    if args.format == "json":
        columns = ("slug", "area", "cause", "severity", "role", "title")
        json.dump([{name: getattr(rule, name) for name in columns} for rule in chosen], sys.stdout, indent=1)
        print()
        return 0
    for area in sorted({rule.area for rule in chosen}):
        print(area)
        for rule in sorted(chosen, key=lambda rule: rule.slug):
            if rule.area == area:
                print(f"  {rule.slug:<40} {rule.severity:<8} {rule.title}")
    print(counted(len(chosen), "rule"))
    return 0


def _show(args: Namespace, rules: Sequence[Rule]) -> int:
    by_slug = {rule.slug: rule for rule in rules}
    if not args.names:
        raise UsageError("which rule? 'sgldoctor rules list' names them")
    for name in args.names:
        if name not in by_slug:
            from difflib import get_close_matches

            near = get_close_matches(name, by_slug, n=3)
            raise InputError(
                f"no rule named {name!r}"
                + (f"; near are {', '.join(near)}" if near else "; 'sgldoctor rules list' names them")
            )
    if args.format == "json":
        json.dump([_object(by_slug[name]) for name in args.names], sys.stdout, indent=1)
        print()
        return 0
    for name in args.names:
        common.write(describe(by_slug[name]))
    return 0


def _object(rule: Rule) -> dict[str, object]:
    found = rule._asdict()
    found["logs"] = [match._asdict() for match in rule.logs]
    found["facts"] = [match._asdict() for match in rule.facts]
    found["needs"] = [match._asdict() for match in rule.needs]
    found["fixes"] = [recipe._asdict() for recipe in rule.fixes]
    return found


def _new(args: Namespace) -> int:
    import os

    from sgldoctor.cli.newrule import new

    if len(args.names) != 1:
        raise UsageError("name the new rule, and only one: sgldoctor rules new odd-crash --from crash.log")
    folder = args.rules[0] if args.rules else checkout_folder()
    if folder is None:
        raise UsageError("name the folder of your own rules with --rules DIR; it is made if it is not there")
    there = [entry for entry in args.rules if os.path.isdir(entry)]
    fixtures = args.fixtures or os.path.join(os.path.dirname(os.path.abspath(folder)), "fixtures")
    source = vars(args)["from"]
    return new(args.names[0], folder, fixtures, args.area or "", args.cause or "", source, load(there))


def _lint(args: Namespace) -> int:
    import os

    from sgldoctor.rules.lint import lint_folder

    folders = args.names or args.rules
    fixtures = args.fixtures
    others: tuple[Rule, ...] = tuple(load()) if folders else ()
    if not folders:
        folder = checkout_folder()
        if folder is None:
            raise UsageError("name the folder of rules to lint")
        folders = [folder]
        fixtures = fixtures or os.path.join(os.path.dirname(folder), "fixtures")
    problems: list[str] = []
    for folder in folders:
        if not os.path.isdir(folder):
            raise InputError(f"{folder}: no such folder of rules")
        if not any(name.endswith(".toml") for _, _, names in os.walk(folder) for name in names):
            raise InputError(f"{folder}: no rules are in it: a rule is a file AREA/NAME.toml")
        problems += lint_folder(folder, fixtures, others)
    for problem in problems:
        print(problem)
    print(counted(len(problems), "problem") if problems else "no problems")
    return 1 if problems else 0
