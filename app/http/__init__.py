"""What shoppers, operators and probes reach by HTTP."""
