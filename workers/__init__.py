"""The worker fleet: dramatiq delivers, the rows decide."""
