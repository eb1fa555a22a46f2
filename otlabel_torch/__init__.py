"""SeLa on torchvision: a network and the labels of unlabelled images, learned together from random weights.

Commands are modules: ``python -m otlabel_torch.train --help``.
"""
