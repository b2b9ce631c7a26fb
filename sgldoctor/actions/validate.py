"""What may enter an action: names, versions, variables, flags and values, each checked by its own grammar.

A log is written by whoever crashed, so nothing of it is trusted. Every function returns the accepted text or None.
"""

from __future__ import annotations

import re
from functools import lru_cache

from sgldoctor.lazy import lazy
from sgldoctor.typed import Any

NAME = lazy(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
"""A distribution name, PEP 508."""
EXACT = lazy(
    r"(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,98}[A-Za-z0-9])?)==(?P<version>\d+(?:\.\d+)*(?:\.post\d+)?(?:\+[a-z0-9]+(?:\.[a-z0-9]+)*)?)"
)
"""The commonest requirement, for which the grammar of all (50 ms to import) need not be asked."""
VARIABLE = lazy(r"[A-Za-z_][A-Za-z0-9_]{0,99}")
"""What a rule's author may write (``no_proxy``)."""
LOGGED_VARIABLE = lazy(r"[A-Z_][A-Z0-9_]{0,99}")
"""What may come from a log."""
FLAG = lazy(r"--[a-z0-9][a-z0-9-]{0,80}")
VALUE = lazy(r"[A-Za-z0-9_.,:/+@%=\[\]{}\"' -]{0,400}")
"""Values of variables and flags: printable ASCII without what a shell would act upon even when quoted badly."""
WORD = lazy(r"[A-Za-z0-9_.,:/+@%=-]{1,200}")
"""What may stand in a command that is only shown."""
MODULE = lazy(r"[a-z0-9_]{1,40}")


def requirement(text: str) -> tuple[str, str] | None:
    """``(name, canonical requirement)`` of a plain PEP 508 requirement; None for URLs, markers and anything else.

    >>> requirement("Torch == 9.9")
    ('torch', 'torch==9.9')
    """
    from sgldoctor.knowledge.releases import normalise

    if len(text) > 200:
        return None
    plain = EXACT.fullmatch(text)
    if plain:
        return normalise(plain["name"]), f"{normalise(plain['name'])}=={plain['version']}"
    from packaging.requirements import InvalidRequirement, Requirement

    try:
        parsed = Requirement(text)
    except InvalidRequirement:
        return None
    if parsed.url or parsed.marker or not NAME.fullmatch(parsed.name):
        return None
    name = normalise(parsed.name)
    extras = f"[{','.join(sorted(parsed.extras))}]" if parsed.extras else ""
    return name, f"{name}{extras}{parsed.specifier}"


def value(text: str) -> str | None:
    """``text`` if it can be the value of a variable or a flag."""
    return text if VALUE.fullmatch(text) else None


def known_variable(name: str) -> bool:
    """Whether some release of SGLang declares or reads the variable."""
    from sgldoctor.knowledge.variables import knowledge

    return name in knowledge().variables


def flag_problem(flag: str, text: str | None, sglang: str, *, instead: str = "") -> str:
    """Why ``flag`` (with the value ``text``, None for none) does not fit the release ``sglang``; ``""`` if it does.

    ``instead`` is a flag whose values it takes over, if that one has any.
    An unknown release (``""``) or one newer than the knowledge forbids nothing.
    """
    from sgldoctor.knowledge import flags

    if not sglang or sglang not in flags.releases():
        return ""
    found = flags.table(sglang).get(flag)
    if found is None:
        return f"SGLang {sglang} has no flag {flag}"
    if found.raises:
        return f"SGLang {sglang} refuses {flag}"
    keeps = bool(instead) and not flags.is_switch(instead)
    if text is None and not keeps and found.nargs in ("1", "+"):
        return f"{flag} needs a value"
    if text is not None and found.nargs == "0":
        return f"{flag} takes no value"
    if text is not None and found.choices and text not in found.choices:
        return f"{flag} of SGLang {sglang} does not take {text!r}"
    return ""


@lru_cache(maxsize=1)
def known_names() -> frozenset[str]:
    """Every distribution that the knowledge names: pins and extras of all releases, kernels, companions, images."""
    from sgldoctor.knowledge import releases

    data = releases.load("sglang-releases.json")
    lines: list[str] = []
    for release in data["releases"].values():
        lines += release["pins"]
        lines += [line for extra in release["extras"].values() for line in extra]
    for companion in data["companions"].values():
        lines += companion["requires_dist"]
    lines += [*data["kernels"], *data["companions"]]
    lines += [name for shot in releases.load("docker-pins.json")["snapshots"] for name in shot["pins"]]
    lines += _families(releases.load("libraries.json"))
    found = set()
    for line in lines:
        match = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line)
        if match:
            found.add(releases.normalise(match[0]))
    return frozenset(found)


def _families(data: dict[str, Any]) -> list[str]:
    return [family + suffix for family in data["families"].values() for suffix in ("", "-cu12", "-cu13")]
