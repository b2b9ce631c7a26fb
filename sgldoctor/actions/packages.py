"""What the kinds that name packages share: the members of ``packages``, which names are trusted, the installer."""

from __future__ import annotations

from sgldoctor.actions import validate
from sgldoctor.actions.base import Place
from sgldoctor.actions.context import Context, Refused
from sgldoctor.lazy import lazy
from sgldoctor.template import names
from sgldoctor.typed import Any

_WRITTEN_NAME = lazy(r"[A-Za-z0-9][A-Za-z0-9._-]*(?!\{|[A-Za-z0-9._-])")


def installer(place: Place, verb: str) -> list[str]:
    """The words in front of the requirements: ``uv pip install --python X``, ``X -m pip install``, ``pip install``."""
    if place.uv:
        return [place.uv, "pip", verb, *(["--python", place.python] if place.python else [])]
    if place.python:
        return [place.python, "-m", "pip", verb]
    return ["pip", verb]


def templates(packages: Any, context: Context) -> list[str]:
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


def require_known(name: str, template: str, context: Context) -> None:
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
