"""The processes of a run: where they come from, what they print, how they fail, and that none of them is left."""
