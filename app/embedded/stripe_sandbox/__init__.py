"""A Stripe to practise on: one process on the loopback that keeps Stripe's rules and fails when told to.

Every rule names the page of docs.stripe.com that states it. What those pages leave open is decided in
the place where it matters, and said there.
"""
