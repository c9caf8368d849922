"""Chaos with real processes: load, one fault at a time, and the promises judged once everything is at rest."""
