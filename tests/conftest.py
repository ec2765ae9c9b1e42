"""Hypothesis profiles: `quick` runs everywhere, `nightly` looks a hundred times longer (--hypothesis-profile=nightly)."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("quick", derandomize=True, database=None, max_examples=14, **COMMON)
settings.register_profile("nightly", max_examples=1400, **COMMON)
settings.load_profile("quick")
