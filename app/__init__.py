"""medusa-grace: order cancellation during the grace period, beside an unchanged Medusa v2 shop."""
