"""Empty as written: in the process whose script gives a part that no name leads to (a partial, a class in a function), the part
is an attribute here, so that it has one."""
