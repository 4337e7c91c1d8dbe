"""PettingZoo for arl."""
