"""The run: its plan, the trainer that drives an engine, its directory, and the Python interface."""
