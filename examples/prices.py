# %% [markdown]
# # Labels have prices
#
# Two labels in two dimensions, and points of which most like the first better. The potentials move the border until
# each label has its share: that is all that transport does.

# %%
import numpy as np
from matplotlib import pyplot as plt

import otlabel

random = np.random.default_rng(1)
points = random.normal((0.8, 0.0), 1.0, (400, 2))
centres = np.array([[1.5, 0.0], [-1.5, 0.0]])
scores = -((points[:, None] - centres) ** 2).sum(axis=2)

# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 3), sharex=True, sharey=True, layout="constrained")
for axis, share in zip(axes, (None, 0.5, 0.3), strict=True):
    if share is None:
        labels, shift = scores.argmax(axis=1), 0.0
    else:
        result = otlabel.assign(scores, b=[share, 1 - share], epsilon=0.05)
        labels, shift = result.labels, np.subtract(*result.potentials) * result.epsilon
    axis.scatter(*points.T, c=np.where(labels == 0, "#1a7f5a", "#c2571a"), s=8)
    axis.axvline(-shift / 6, color="black", linewidth=1)  # where both labels are worth the same, prices included
    sizes = np.bincount(labels, minlength=2)
    axis.set_title(
        f"{'each its best' if share is None else f'shares {share:g}, {1 - share:g}'}: {sizes[0]}, {sizes[1]}"
    )
figure.savefig("prices.png", dpi=110)
