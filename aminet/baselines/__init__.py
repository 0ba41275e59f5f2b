"""The compared methods, each in its own file, written from its paper. `aminet.baselines.registry` knows them by name."""
