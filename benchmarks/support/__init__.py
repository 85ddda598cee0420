"""What several benchmarks need; no benchmark itself."""
