"""Settings of all tests, and which of them run only where they are asked for."""

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# How long a drawn example takes says how busy the machine is, not whether the code is right.
settings.register_profile(
    "here",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    # A change must not be refused for a case that chance drew; everyday runs draw anew.
    derandomize=bool(os.environ.get("SGLDOCTOR_SAME_CASES")),
)
settings.load_profile("here")

# A shell has what it starts in the background ignore the first two, nohup the third, and a program hands that on to all
# that it starts: then the tests of signals would wait for ever.
for ignored in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(ignored) is signal.SIG_IGN:
        signal.signal(ignored, signal.default_int_handler if ignored == signal.SIGINT else signal.SIG_DFL)

ASKED = os.environ.get("SGLDOCTOR_TEST_NETWORK", "") not in ("", "0")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what asks a package index: it takes minutes, and tells as much of the index as of us."""
    for item in items:
        if item.get_closest_marker("network") and not ASKED:
            item.add_marker(pytest.mark.skip(reason="SGLDOCTOR_TEST_NETWORK=1 asks the package index"))
