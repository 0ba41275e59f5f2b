"""What a real training needs around the loop of `aminet.train`.

trainer.py: a run in a folder, with its clock and its validation, which any stop leaves usable.
games.py: what is trained on which loss: one network on L1 or its own loss, or a GAN.
folder.py: the folder of a run: its files, its lock and its log.
weights.py: weights as safetensors files, by path or by name.
device.py: the device, the number format, the processes of one training, and the signals that stop it.
"""
