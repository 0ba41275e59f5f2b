"""What a real training needs around the loop of `aminet.train`.

trainer.py: a run in a folder, with its clock, validation, log, resume and lock.
games.py: what is trained on which loss: one network on L1 or its own loss, or a GAN.
device.py: the device, the number format, the processes of one training, and the signals that stop it.
"""
