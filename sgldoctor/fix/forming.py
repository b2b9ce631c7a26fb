"""From one table of a recipe to a typed action: its placeholders filled, everything that goes into it validated."""

from __future__ import annotations

from collections.abc import Callable

from sgldoctor.fix import actions as kinds
from sgldoctor.fix import validate
from sgldoctor.fix.actions import Action
from sgldoctor.fix.context import Context, Refused, Unresolved
from sgldoctor.lazy import lazy
from sgldoctor.rules.template import names
from sgldoctor.typed import Any

_LITERAL_NAME = lazy(r"([A-Za-z0-9][A-Za-z0-9._-]*)(\[[A-Za-z0-9,._-]*\])?\s*(?:$|[<>=!~])")
_WRITTEN_NAME = lazy(r"[A-Za-z0-9][A-Za-z0-9._-]*(?!\{|[A-Za-z0-9._-])")
_SYSTEM_NAME = lazy(r"[a-z0-9][a-z0-9.+-]{1,80}")


def install(table: dict[str, Any], context: Context) -> Action:
    """An install; bare names get the version that belongs into this environment."""
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
    literal = _WRITTEN_NAME.match(template)
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
    problem = validate.flag_problem(flag, value, context.sglang, instead=instead)
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


FORM: dict[str, Callable[[dict[str, Any], Context], Action]] = {
    "install": install,
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
