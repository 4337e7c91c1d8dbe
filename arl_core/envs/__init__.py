"""Environments: groups that step together, their arrays, adapters and wrappers."""
