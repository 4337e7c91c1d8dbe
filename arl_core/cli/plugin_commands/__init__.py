"""`arl plugins ...`: one module a command."""
