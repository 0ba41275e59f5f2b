"""The compared methods, each in its own file, written from its paper. `aminet.networks` knows them by name."""
