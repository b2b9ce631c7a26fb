"""Build hook: compiles ``rules/`` into ``sgldoctor/_rules.py``, so that an installed doctor parses no TOML at start."""

import os
import sys
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RuleCacheHook(BuildHookInterface[Any]):
    """Adds the compiled rules to a wheel; an editable install reads the TOML files themselves."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the compiled rules beside the build and have them included."""
        if version == "editable":
            return
        sys.path.insert(0, self.root)
        try:
            from sgldoctor.rules.lint import lint_folder
            from sgldoctor.rules.load import compile_folder

            folder = os.path.join(self.root, "rules")
            problems = lint_folder(folder)
            if problems:
                raise SystemExit("rules that do not pass the linter:\n" + "\n".join(problems))
            rules = compile_folder(folder)
        finally:
            sys.path.remove(self.root)
        descriptor, path = tempfile.mkstemp(suffix=".py")
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write('"""All built-in rules, compiled by the build from rules/."""\n\nRULES = (\n')
            stream.writelines(f"    {part!r},\n" for part in rules)
            stream.write(")\n")
        build_data["force_include"][path] = "sgldoctor/_rules.py"
