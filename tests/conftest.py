"""Settings of all tests: how long a drawn example takes says how busy the machine is, not whether the code is right."""

from hypothesis import HealthCheck, settings

settings.register_profile("here", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")
