"""Races between a shopper's cancel and money that Medusa takes all the same."""
