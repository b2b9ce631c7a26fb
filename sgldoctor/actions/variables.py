"""The file of variables that an environment needs: written by repairs, printed by ``sgldoctor env``.

``NAME=value`` lines, readable by ``docker --env-file`` as well; a variable to be taken away stands as ``# unset NAME``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from sgldoctor.actions import files
from sgldoctor.actions.validate import VARIABLE
from sgldoctor.folders import config_folder, key_of
from sgldoctor.typed import TYPE_CHECKING

if TYPE_CHECKING:
    from sgldoctor.derive.exports import Export

HEAD = "# Variables set by sgldoctor for {prefix}: 'source <(sgldoctor env)'; 'sgldoctor undo' takes them back.\n"
_UNSET = "# unset "


def path_of(prefix: str, environ: Mapping[str, str]) -> str:
    """The file that belongs to an environment."""
    return os.path.join(config_folder(environ), "env", key_of(prefix) + ".env")


def load(path: str) -> dict[str, str | None]:
    """Variable to value, None for one to be unset; empty where there is no file."""
    found: dict[str, str | None] = {}
    for line in (files.read(path) or "").split("\n"):
        if line.startswith(_UNSET):
            name: str = line[len(_UNSET) :].strip()
            value: str | None = None
        elif "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
        else:
            continue
        if VARIABLE.fullmatch(name):
            found[name] = value
    return found


def save(path: str, prefix: str, variables: Mapping[str, str | None]) -> None:
    """Write the file, or remove it where nothing is left to say."""
    if not variables:
        files.remove(path)
        return
    lines = [f"{_UNSET}{name}" if value is None else f"{name}={value}" for name, value in sorted(variables.items())]
    files.write(path, HEAD.format(prefix=prefix.replace("\n", " ")) + "\n".join(lines) + "\n")


def applied(environ: Mapping[str, str], variables: Mapping[str, str | None]) -> dict[str, str]:
    """``environ`` as it is in a shell that has sourced the file."""
    result = {name: value for name, value in environ.items() if variables.get(name, "") is not None}
    result.update({name: value for name, value in variables.items() if value is not None})
    return result


def exports(variables: Mapping[str, str | None], shell: str) -> str:
    """Lines for ``bash`` (any POSIX shell), ``fish`` or ``csh``."""
    lines = []
    for name, value in sorted(variables.items()):
        if value is None:
            lines.append({"fish": f"set -e {name}", "csh": f"unsetenv {name}"}.get(shell, f"unset {name}"))
        elif shell == "fish":
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            lines.append(f"set -gx {name} '{escaped}'")
        elif shell == "csh":
            # Inside single quotes csh still expands "!": it wants a backslash there.
            escaped = value.replace("'", "'\\''").replace("!", "\\!")
            lines.append(f"setenv {name} '{escaped}'")
        else:
            escaped = value.replace("'", "'\\''")
            lines.append(f"export {name}='{escaped}'")
    return "".join(line + "\n" for line in lines)


def render(export: Export, shell: str) -> str:
    """The line or lines of one export; a folder that is in the list already is not added again."""
    name, value = export.name, export.value
    if not export.prepend:
        return exports({name: value}, shell)
    if shell == "fish":
        text = "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
        return f"contains -- {text} ${name}; or set -gx {name} {text} (string match -v -- '' ${name})\n"
    quoted = "'" + value.replace("'", "'\\''") + "'"
    if shell == "csh":
        quoted = quoted.replace("!", "\\!")
        return (
            f"if ( ! $?{name} ) setenv {name} ''\n"
            f'if ( "${name}" == "" ) then\n  setenv {name} {quoted}\n'
            f'else if ( ":${{{name}}}:" !~ *:{quoted}:* ) then\n  setenv {name} {quoted}:"${name}"\nendif\n'
        )
    return f'case ":${{{name}:-}}:" in *:{quoted}:*) ;; *) export {name}={quoted}"${{{name}:+:${name}}}" ;; esac\n'
