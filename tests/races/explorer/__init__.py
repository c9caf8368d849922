"""Tries the orders in which cancels, captures, voids, releases and Medusa itself can meet, on the real code.

Every statement, commit, Redis call and Stripe call of an actor is a *point*: the actor waits there until the
schedule lets it pass, loses its line there, or dies there. ``python -m tests.races.explorer`` runs many schedules,
``--replay NAME`` runs one and shows it step by step.
"""
