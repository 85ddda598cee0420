"""A lab that behaves like AWS, for tests, demo and benchmarks. It touches no real cloud."""
