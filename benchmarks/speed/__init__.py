"""Measure speed and memory beside other libraries: ``python -m benchmarks.speed`` writes docs/performance.md."""
