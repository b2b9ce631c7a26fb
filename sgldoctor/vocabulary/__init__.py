"""The vocabulary of facts: every fact name with its columns, in words; one module for each subject.

Probes, log reader and derivations write these names, rules select them. ``rules lint`` refuses a rule that names a fact
or a column which is not here, and the tests refuse a stage that writes one. Add a line here first.
"""

from __future__ import annotations

from sgldoctor.vocabulary.environment import ENVIRONMENT
from sgldoctor.vocabulary.launch import LAUNCH
from sgldoctor.vocabulary.libraries import LIBRARIES
from sgldoctor.vocabulary.logs import LOGS
from sgldoctor.vocabulary.machine import MACHINE
from sgldoctor.vocabulary.nodes import NODES
from sgldoctor.vocabulary.variables import VARIABLES

FACTS: dict[str, dict[str, str]] = {
    **ENVIRONMENT,
    **LIBRARIES,
    **MACHINE,
    **VARIABLES,
    **LAUNCH,
    **NODES,
    **LOGS,
}
"""Fact name to its columns, each with an example or a meaning."""
