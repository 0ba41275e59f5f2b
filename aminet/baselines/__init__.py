"""The compared methods, each in a file of its own, written from its paper. `registry` knows them by name."""
