"""The paper's tables, and their reproduction: from a list of runs to records, and from records to tables.

runs.py: the runs behind the tables (runs.yaml), each a network at a scale with a seed;
    defaults.json holds their configurations, so that records find their run without torch.
reproduce.py: how far each run is, and the next one to continue.
evaluate.py: one network on one set of faces gives a record.
limits.py: one network on faces that get harder, level by level.
records.py: sealed records: writing, reading, adding to them.
comparison.py: which records may be compared, and what the comparison says.
published.py: the ten tables as printed.
verdicts.py: which differences of the ablations are beyond chance.
tables.py: printed and measured values side by side, cell by cell.
text.py: a table as text, Markdown or CSV.
"""
