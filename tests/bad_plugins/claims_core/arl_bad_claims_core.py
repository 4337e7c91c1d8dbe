"""Claims a family and a prefix of the core's: it must never be imported."""

raise RuntimeError("imported")
