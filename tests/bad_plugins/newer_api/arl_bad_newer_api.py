"""Written for a plugin API that this arl-core does not speak: it must never be imported."""

raise RuntimeError("imported")
