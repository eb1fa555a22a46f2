# %% [markdown]
# # Clusters of equal size, beside plain k-means
#
# Scanned digits, 64 pixels each, into 20 clusters. Plain k-means makes some five times as large as others.

# %%
import numpy as np
from matplotlib import pyplot as plt
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits

from otlabel.cluster import BalancedKMeans

points = load_digits().data.astype(np.float32)
balanced = BalancedKMeans(n_clusters=20, n_init=3, random_state=0).fit(points)
plain = KMeans(20, n_init=3, random_state=0).fit(points)
cost = balanced.inertia_ / plain.inertia_ - 1
print(f"equal sizes cost {100 * cost:.1f} % of inertia")

# %%
figure, axis = plt.subplots(figsize=(7, 2.8), layout="constrained")
axis.bar(range(20), np.sort(np.bincount(plain.labels_))[::-1], color="#b0b7bf", label="KMeans")
axis.bar(range(20), np.sort(balanced.sizes_)[::-1], width=0.5, color="#1a7f5a", label="BalancedKMeans")
axis.set(xlabel="clusters, the largest first", ylabel="points")
axis.legend(frameon=False)
figure.savefig("balanced_clusters.png", dpi=110)
