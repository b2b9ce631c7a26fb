"""The typed actions of a fix. A kind of action is one module of :mod:`sgldoctor.actions.kinds`, and nothing else.

``kind("set-flag")`` is the class ``SetFlag`` in ``kinds/set_flag.py``: what a rule writes, what may enter it, how it is
shown, and what it does, proves and takes back. Only the kinds that are used are imported.
"""

from __future__ import annotations

from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.actions.base import Action


def names() -> tuple[str, ...]:
    """All kinds, in alphabetical order."""
    import pkgutil

    from sgldoctor.actions import kinds

    return tuple(sorted(entry.name.replace("_", "-") for entry in pkgutil.iter_modules(kinds.__path__)))


def kind(name: str) -> type[Action]:
    """The class of a kind; raises KeyError where there is none of this name."""
    from importlib import import_module

    if not name.replace("-", "").isalpha():
        raise KeyError(name)
    module = f"{__name__}.kinds.{name.replace('-', '_')}"
    try:
        found: type[Action] = getattr(import_module(module), "".join(map(str.capitalize, name.split("-"))))
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise KeyError(name) from None
    return found
