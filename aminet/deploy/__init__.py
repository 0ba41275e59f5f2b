"""Use and speed: from a trained network to restored pictures, in less time.

upscale.py: the faces of photographs, drawn anew from 16x16 and pasted back.
fast.py: the same function in less time.
export.py: a network as an ONNX file, checked against torch.
runtime.py: such a file, read without torch.
bench.py: how fast one AMINet is, against the limits of the machine.
roofline.py: these limits, what a network reads and writes, and the plot of both.
speeds.py: every network of the tables in one race.
timing.py: what these measurements share.
"""
