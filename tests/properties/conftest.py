"""How the properties are tried: without a time limit for one example, and without a folder of past failures.

`MESH_PROPERTIES` says with how many examples: `few` and `fixed` are the same ones in every run, so that no run is red
by chance; `some`, and `many` of `make bench`, are others each time.
"""

import os

from hypothesis import HealthCheck, settings

_EXAMPLES = {"few": (12, True), "fixed": (20, True), "some": (40, False), "many": (1000, False)}

for name, (count, is_fixed) in _EXAMPLES.items():
    # A machine that is shared stalls for longer than the usual limit of 200 ms, which says nothing about the property.
    settings.register_profile(
        name,
        max_examples=count,
        derandomize=is_fixed,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
settings.load_profile(os.environ.get("MESH_PROPERTIES") or "some")
