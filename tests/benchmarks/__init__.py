"""How fast it is, as ratios between things run side by side: ``python -m tests.benchmarks --help``."""
