"""A real OpenStack on one small machine, for tests and benchmarks. It touches no real cloud."""
