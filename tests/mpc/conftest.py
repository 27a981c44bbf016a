"""Hypothesis for these tests: no deadlines, and the same examples in every run."""

from hypothesis import settings

settings.register_profile("mpc", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("mpc")
