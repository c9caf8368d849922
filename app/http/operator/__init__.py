"""The operator's page: what needs a person, and what a person may do about it."""
