"""Stripe and Redis, each behind one door."""
