"""Asks for another arl-core: it must never be imported."""

raise RuntimeError("imported")
