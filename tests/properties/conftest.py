"""How the properties are tried: without a time limit for one example, and without a folder of past failures."""

from hypothesis import HealthCheck, settings

# A machine that is shared stalls for longer than the usual limit of 200 ms, which says nothing about the property.
settings.register_profile(
    "mesh", deadline=None, database=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("mesh")
