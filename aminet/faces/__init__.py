"""Faces: where they come from, and how a picture becomes (3, 128, 128).

pictures.py: one picture, without torch: read, align, degrade, write.
finder.py: the faces of a photograph, without torch: eyes, size and turn.
dataset.py: faces in folders and zips, as a data set.
official.py: the layouts of CelebA, Helen and SCface as their authors publish them.
synthetic.py: drawn faces of nobody, with landmarks and parsing maps.
portraits.py: two public-domain portraits for examples and tests.
sources.py: what `--faces` and `--val` of a command mean.
priors.py: landmarks, parsing maps and attributes, from which some compared methods learn.
check.py: bad files, duplicates, and what two sets share.
"""
