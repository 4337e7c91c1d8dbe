"""Acting: a group on its way through its slots, the actor, and the two kinds of workers."""
