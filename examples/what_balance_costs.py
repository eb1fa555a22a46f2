# %% [markdown]
# # What balance costs
#
# The narrower the bounds on the sizes, the more inertia: on clouds of very different size, exact equality cuts the
# large ones, and bounds give most of it back.

# %%
import numpy as np
from matplotlib import pyplot as plt

from otlabel.cluster import BalancedKMeans

random = np.random.default_rng(0)
sizes = np.array([800, 500, 300, 150, 100, 60, 50, 40])  # of eight clouds
centres = random.normal(size=(8, 12)) * 4
points = (np.repeat(centres, sizes, axis=0) + random.normal(size=(2000, 12))).astype(np.float32)

# %%
bounds = [(250, 250), (200, 320), (125, 500), (60, 800), (0, 2000)]
fits = [BalancedKMeans(8, size_min=low, size_max=high, n_init=3, random_state=0).fit(points) for low, high in bounds]
least = min(fit.inertia_ for fit in fits)
figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
names = [f"{low} to {high}" if low < high else f"{low}" for low, high in bounds]
axes[0].bar(names, [fit.inertia_ / least for fit in fits], color="#1a7f5a")
axes[0].set(xlabel="sizes allowed", ylabel="inertia, of the least", ylim=(0.9, None))
for name, fit in zip(names, fits, strict=True):
    axes[1].plot(np.sort(fit.sizes_)[::-1], marker=".", label=name)
axes[1].set(xlabel="clusters, the largest first", ylabel="points")
axes[1].legend(frameon=False)
axes[0].tick_params(axis="x", rotation=20)
figure.savefig("what_balance_costs.png", dpi=110)
