"""Benchmark programs, workloads, exact measurement, statistics, gates, A/B comparison and the report."""
