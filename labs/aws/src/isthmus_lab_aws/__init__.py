"""A lab that behaves like AWS, for tests, demo and benchmarks. Nothing here touches a real cloud."""
