"""Benchmarks that start this project's own processes: gateway, served, overload."""
