"""Recipes to fixes: placeholders filled, everything that goes into an action validated.

A fix of which anything is unknown, or fails its validation, is not dropped: it becomes advice (safety ``manual``).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence

from sgldoctor.facts import Facts
from sgldoctor.fix import actions as kinds
from sgldoctor.fix import validate
from sgldoctor.fix.actions import Action, Place
from sgldoctor.knowledge.libraries import family
from sgldoctor.lazy import lazy
from sgldoctor.rules.schema import Finding, FixRecipe
from sgldoctor.rules.template import fill, names
from sgldoctor.typed import Any, NamedTuple

Pin = Callable[[str], "str | None"]
"""From a distribution (or a family such as ``nvidia-cudnn``, or ``kernel``) to an exact requirement, or None."""

_NESTED = lazy(r"\{pin:\{([a-z_][a-z0-9_]*)\}\}")
_LITERAL_NAME = lazy(r"([A-Za-z0-9][A-Za-z0-9._-]*)(\[[A-Za-z0-9,._-]*\])?\s*(?:$|[<>=!~])")
SHOWN_RELEASES = 6
"""How many ranges of releases are shown, the newest ones, where a log does not tell which release wrote it."""
HIDDEN = (("pin",), ("successor",), ("nearest",), ("best",))
"""What a fix without its only parameter is not worth showing for, where the rule has another one."""
IN_PLACE = "'sgldoctor check --fix', run in that environment, reads the version there and installs it."
_SYSTEM_NAME = lazy(r"[a-z0-9][a-z0-9.+-]{1,80}")


class Fix(NamedTuple):
    """One way to repair a finding.

    Attributes:
        title: what it does, in one line.
        safety: ``safe``, ``unsafe`` or ``manual`` (only shown).
        actions: what is done, in order.
        note: what the reader should know: the recipe's own note, the releases it is for, why it is only advice.
        unresolved: placeholders whose value is not known.
    """

    title: str
    safety: str
    actions: tuple[Action, ...]
    note: str = ""
    unresolved: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The fix as the report's contract has it."""
        return {
            "title": self.title,
            "safety": self.safety,
            "actions": [action.to_json() for action in self.actions],
            **({"note": self.note} if self.note else {}),
            **({"unresolved": list(self.unresolved)} if self.unresolved else {}),
        }


class Refused(Exception):  # noqa: N818  it is not an error of the program: the action becomes advice
    """Why an action cannot be formed; ``shown`` says in words what was meant, without anything invalid."""

    def __init__(self, because: str, shown: str) -> None:
        super().__init__(because)
        self.because = because
        self.shown = shown


class Context(NamedTuple):
    """What the templates of one finding are filled from."""

    params: Mapping[str, Any]
    facts: Facts
    pin: Pin
    place: Place
    sglang: str

    def text(self, template: str) -> str:
        """The template filled; raises Refused where something is unknown."""
        filled, missing = self.filled(template)
        if missing:
            raise Unresolved(missing, filled)
        return filled

    def filled(self, template: str) -> tuple[str, list[str]]:
        """The template filled, and what stays unknown."""
        if "{pin}" in template and not self.params.get("pin"):
            # A log names the library, an examination the wheel that ships it: the library tells the family of wheels.
            shipped = family(str(self.params.get("library") or ""))
            template = template.replace("{pin}", "{pin:" + shipped + "}") if shipped else template
        return fill(_NESTED.sub(self._inner, template), self.params, self.facts, self.pin)

    def _inner(self, match: re.Match[str]) -> str:
        name = str(self.params.get(match[1]) or "")
        return "{pin:" + name + "}" if validate.NAME.fullmatch(name) else "{" + match[1] + "}"


class Unresolved(Refused):
    """A placeholder has no value."""

    def __init__(self, missing: list[str], shown: str) -> None:
        names = ", ".join(word.removeprefix("pin:").replace("_", " ") for word in missing)
        super().__init__(f"not known here: {names}", shown)
        self.missing = missing


def fixes(finding: Finding, facts: Facts, pin: Pin) -> tuple[Fix, ...]:
    """The fixes of a finding, as its rule lists them, without those that are for another release of SGLang.

    ``pin`` is asked for ``{pin:NAME}`` and for bare names in recipes.
    """
    context = Context(finding.params, facts, pin, _place(facts), str(facts.value("sglang", "version") or ""))
    found = (_fix(recipe, context) for recipe in finding.rule.fixes)
    return tuple(fix for fix in found if fix is not None)


def telling(found: tuple[Fix, ...]) -> tuple[Fix, ...]:
    """Without fixes that name nothing ("install the wheel that ships it"), if another fix of the rule says more."""
    return tuple(fix for fix in found if fix.unresolved not in HIDDEN or len(fix.actions) > 1) or found


def _place(facts: Facts) -> Place:
    """Where the commands of this report run: the interpreter probed, with uv where it lacks pip or uv is at hand."""
    # A log may say something of a Python, too: only a probe says how it was chosen.
    probed = next((row for row in facts.rows("python") if row.get("chosen") and row.get("executable")), None)
    if probed is None:
        return kinds.ANYWHERE
    from sgldoctor.fix.tools import word_for_uv

    python = str(probed["executable"])
    has_pip = any(row.get("name") == "pip" for row in facts.rows("packages"))
    # What a snapshot saw elsewhere is repaired there: where uv lies here says nothing.
    here = word_for_uv(os.environ) if os.path.exists(python) else ""
    uv = here or ("" if has_pip else "uv")
    return Place(python, uv, bool(facts.value("host", "root")))


def _fix(recipe: FixRecipe, context: Context) -> Fix | None:
    from sgldoctor.derive.when import holds

    valid = holds(recipe.when, context.facts)
    if valid is False:
        return None
    notes = [f"For SGLang {recipe.when['sglang']}; the release is not known here."] if valid is None else []
    title, _ = context.filled(recipe.title)
    formed: list[Action] = []
    unresolved: list[str] = []
    safety = recipe.safety
    waiting: list[tuple[dict[str, Any], str]] = []
    at = 0
    for table in recipe.actions:
        try:
            formed.append(_FORM[table["do"]](table, context))
        except Refused as refusal:
            missing = refusal.missing if isinstance(refusal, Unresolved) else []
            lone = _lone_pin(table, missing, context)
            if lone:
                at = at if waiting else len(formed)
                waiting.append((table, lone))
                continue
            safety = "manual"
            unresolved += [name for name in missing if name not in unresolved]
            shown = f"{table['do'].replace('-', ' ')}: {refusal.shown}" if missing else refusal.shown
            pins = [name[4:] for name in missing if name.startswith("pin:")]
            if pins and len(pins) == len(missing):
                shown = _belongs(table, pins)
                notes.append(IN_PLACE)
            else:
                notes.append(f"Only advice: {refusal.because}.")
            formed.append(kinds.Manual(shown))
    if waiting:
        told = _by_release(waiting, context, notes)
        if len({action.releases for action in told}) != 1:  # else they agree, whichever release wrote the log
            safety = "manual"
            unresolved += [f"pin:{name}" for _, name in waiting]
        advice: list[Action] = [kinds.Manual(_belongs(table, [name])) for table, name in waiting]
        formed[at:at] = told or advice
    if recipe.note:
        notes.insert(0, context.filled(recipe.note)[0])
    return Fix(title, safety, tuple(formed), " ".join(dict.fromkeys(notes)), tuple(unresolved))


def _belongs(table: dict[str, Any], pins: Sequence[str]) -> str:
    return f"{table['do']} {', '.join(pins)}, in the version that belongs to the installed SGLang and torch"


def _lone_pin(table: dict[str, Any], missing: Sequence[str], context: Context) -> str:
    """The only thing that an install lacks, if that is a pin which follows from the release, and that is not known."""
    if table["do"] != "install" or context.sglang or len(missing) != 1 or not missing[0].startswith("pin:"):
        return ""
    from sgldoctor.derive.variants import variants

    return missing[0][4:] if variants((missing[0][4:],), context.facts) else ""


def _by_release(
    waiting: Sequence[tuple[dict[str, Any], str]], context: Context, notes: list[str]
) -> list[kinds.Install]:
    """What each release asks for, newest last: one install for each table and range of releases that agree in all."""
    from sgldoctor.derive.variants import variants

    found = variants(tuple(name for _, name in waiting), context.facts)
    formed: list[kinds.Install] = []
    for variant in found[-SHOWN_RELEASES:]:
        for (table, name), wanted in zip(waiting, variant.requirements, strict=True):
            own = wanted.partition("==")[0]
            try:
                action = _install(table, context._replace(pin=dict.fromkeys((name, own), wanted).get))
            except Refused:
                return []
            if isinstance(action, kinds.Install):
                formed.append(action._replace(releases=variant.range))
    if len(found) > SHOWN_RELEASES:
        notes.append("Older releases: name yours with --sglang.")
    notes.append(IN_PLACE)
    return formed


def _install(table: dict[str, Any], context: Context) -> Action:
    found: list[str] = []
    for template in _templates(table["packages"], context):
        text = context.text(template)
        if _LITERAL_NAME.fullmatch(template):
            text = context.pin(template) or text
        checked = validate.requirement(text)
        if checked is None:
            raise Refused("a package name or version is not valid", "install the package that the message names")
        _known(checked[0], template, context)
        found.append(checked[1])
    return kinds.Install(
        tuple(dict.fromkeys(found)), bool(table.get("deps", True)), bool(table.get("reinstall", False)),
        _verify(table, context), context.place,
    )  # fmt: skip


def _uninstall(table: dict[str, Any], context: Context) -> Action:
    found: list[str] = []
    for template in _templates(table["packages"], context):
        checked = validate.requirement(context.text(template))
        if checked is None:
            raise Refused("a package name is not valid", "uninstall the package that the message names")
        _known(checked[0], template, context)
        found.append(checked[0])
    return kinds.Uninstall(tuple(dict.fromkeys(found)), context.place)


def _templates(packages: Any, context: Context) -> list[str]:
    """The entries of ``packages``; one that is nothing but a list-valued parameter stands for its members."""
    out: list[str] = []
    for template in [packages] if isinstance(packages, str) else packages:
        inner = names(template)
        listed = context.params.get(inner[0]) if len(inner) == 1 and template == "{" + inner[0] + "}" else None
        if isinstance(listed, list | tuple):
            # Braces would be taken for placeholders: what is no requirement is refused by validation afterwards.
            out += [str(entry).replace("{", "<") for entry in listed]
        else:
            out.append(template)
    return out


def _known(name: str, template: str, context: Context) -> None:
    """Raise Refused for a name that neither the rule's author, the environment nor the knowledge has written."""
    literal = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*(?!\{|[A-Za-z0-9._-])", template)
    if literal is not None and template in _written(context, template):
        return
    if context.pin(name) is not None or name in validate.known_names():
        return
    from sgldoctor.derive.needs import installed

    if name not in installed(context.facts):
        raise Refused("the package that the message names is not known", "install the package that the message names")


def _written(context: Context, template: str) -> tuple[str, ...]:
    """``template`` itself unless it is a member of a list-valued parameter: only the rule's own text is literal."""
    listed = [value for value in context.params.values() if isinstance(value, list | tuple)]
    return () if any(template in map(str, values) for values in listed) else (template,)


def _verify(table: dict[str, Any], context: Context) -> tuple[tuple[str, str], ...]:
    return tuple((str(key), context.filled(str(text))[0]) for key, text in dict(table.get("verify", {})).items())


def _variable(table: dict[str, Any], context: Context) -> str:
    template = str(table["name"])
    name = context.text(template)
    allowed = validate.LOGGED_VARIABLE if names(template) else validate.VARIABLE
    if not allowed.fullmatch(name):
        raise Refused("the variable's name is not valid", "change the variable that the message names")
    if names(template) and not validate.known_variable(name):
        held = {str(row.get("name")) for row in context.facts.rows("environment")}
        if name not in held:
            raise Refused(f"no release of SGLang knows {name}", f"change the variable {name}")
    return name


def _set_env(table: dict[str, Any], context: Context) -> Action:
    name = _variable(table, context)
    value = validate.value(context.text(str(table["value"])))
    if value is None:
        raise Refused("the value is not valid", f"set {name}")
    return kinds.SetEnv(name, value)


def _unset_env(table: dict[str, Any], context: Context) -> Action:
    return kinds.UnsetEnv(_variable(table, context))


def _flag(table: dict[str, Any], context: Context) -> str:
    flag = context.text(str(table["flag"]))
    if not validate.FLAG.fullmatch(flag):
        raise Refused("the flag is not valid", "change the flag that the message names")
    return flag


def _set_flag(table: dict[str, Any], context: Context) -> Action:
    told, value = context.text(str(table["flag"])), None
    if "value" in table:
        given = str(table["value"])
        # A switch has no value: an empty one of the finding is none.
        if not (names(given) == [given[1:-1]] and context.params.get(given[1:-1]) == ""):
            value = validate.value(context.text(given))
            if value is None:
                raise Refused("the value is not valid", "change the flag that the message names")
    if names(str(table["flag"])) and value is None:
        told, _, rest = told.partition(" ")  # SGLang names some successors with their value: --backend triton
        value = rest or None
    flag = _flag({"flag": told.replace("{", "")}, context)
    if value is not None and validate.value(value) is None:
        raise Refused("the value is not valid", f"set {flag}")
    instead = _flag({"flag": table["instead"]}, context) if "instead" in table else ""
    problem = validate.flag_problem(flag, value, context.sglang, keeps=bool(instead))
    if problem and value is None and names(str(table.get("value", ""))):
        raise Unresolved(names(str(table["value"])), flag)
    if problem:
        raise Refused(problem, kinds.SetFlag(flag, value, instead).describe())
    return kinds.SetFlag(flag, value, instead)


def _remove_flag(table: dict[str, Any], context: Context) -> Action:
    # A flag that the release does not have is just the one to remove: no look at its list.
    return kinds.RemoveFlag(_flag(table, context))


def _write_file(table: dict[str, Any], context: Context) -> Action:
    path = str(table["path"])
    if names(path):
        raise Refused("a path is never taken from what was found", "write the file by hand")
    return kinds.WriteFile(path, context.text(str(table["content"])))


def _remove_cache(table: dict[str, Any], context: Context) -> Action:
    cache = context.text(str(table["cache"]))
    if cache not in kinds.CACHES:
        raise Refused("the cache is not known", "remove the cache by hand")
    return kinds.RemoveCache(cache)


def _load_module(table: dict[str, Any], context: Context) -> Action:
    module = context.text(str(table["module"]))
    if not validate.MODULE.fullmatch(module):
        raise Refused("the kernel module's name is not valid", "load the kernel module by hand")
    return kinds.LoadModule(module, context.place)


def _system_package(table: dict[str, Any], context: Context) -> Action:
    """Names, sonames (translated by the knowledge), or ``debian:NAME`` and ``fedora:NAME`` for one family only."""
    from sgldoctor.knowledge.libraries import system_package

    distribution = str(context.facts.value("host", "distribution") or "").lower()
    fedora = any(word in distribution for word in ("fedora", "red hat", "rocky", "alma", "centos", "amazon", "oracle"))
    family, tool = ("fedora", "dnf") if fedora else ("debian", "apt-get")
    found: list[str] = []
    for template in _templates(table["packages"], context):
        text = context.text(template)
        prefix, _, rest = text.partition(":")
        if prefix in ("debian", "fedora"):
            if prefix != family:
                continue
            text = rest
        elif ".so" in text:
            text = system_package(text).get(family, "")
        if not _SYSTEM_NAME.fullmatch(text) or (names(template) and not _system_known(text)):
            raise Refused("the system package is not known", "install the system package that ships this library")
        found.append(text)
    if not found:
        raise Refused(f"no package of this distribution ({family}) is known", "install the system package by hand")
    return kinds.SystemPackage(tuple(dict.fromkeys(found)), tool, context.place)


def _system_known(name: str) -> bool:
    from sgldoctor.knowledge.releases import load

    return any(name in found.values() for found in load("libraries.json")["system"].values())


def _manual(table: dict[str, Any], context: Context) -> Action:
    """Advice is text: placeholders may stay unknown, and nothing of it is ever run."""
    text, _ = context.filled(str(table["text"]))
    template = str(table.get("command", ""))
    shown, missing = context.filled(template)
    harmless = all(validate.WORD.fullmatch(context.filled("{" + name + "}")[0]) for name in names(template))
    return kinds.Manual(text, shown if harmless and not missing else "")


_FORM: dict[str, Callable[[dict[str, Any], Context], Action]] = {
    "install": _install,
    "uninstall": _uninstall,
    "set-env": _set_env,
    "unset-env": _unset_env,
    "set-flag": _set_flag,
    "remove-flag": _remove_flag,
    "write-file": _write_file,
    "remove-cache": _remove_cache,
    "load-module": _load_module,
    "system-package": _system_package,
    "manual": _manual,
}
"""Kind of action (``rules.schema.ACTIONS``) to what forms it."""
