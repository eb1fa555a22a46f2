# %% [markdown]
# # Sixteen sweeps, or a hundred and seventy
#
# The error of the plan's columns against passes over the scores: otlabel's solver, and the textbook's iteration, on
# scores that are flat, where nobody needs many, and on some that are peaked.

# %%
import warnings

import numpy as np
from matplotlib import pyplot as plt

import otlabel

random = np.random.default_rng(0)
mixture = random.normal(size=(3000, 8)) @ random.normal(size=(8, 60))
figure, axes = plt.subplots(1, 2, figsize=(8, 3), sharey=True, layout="constrained")
for axis, (name, epsilon) in zip(axes, (("flat", 10.0), ("peaked", 0.1)), strict=True):
    for method, colour in (("lbfgs", "#1a7f5a"), ("sinkhorn", "#b0b7bf")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", otlabel.ConvergenceWarning)  # should the textbook not get there
            result = otlabel.assign(mixture, epsilon=epsilon, method=method, tol=1e-6, max_sweeps=300)
        axis.loglog(result.history[:, 0], result.history[:, 2], color=colour, marker=".", label=method)
    axis.set(title=f"{name}: epsilon {epsilon:g}", xlabel="sweeps")
axes[0].set_ylabel("L1 error")
axes[0].legend(frameon=False)
figure.savefig("sweeps.png", dpi=110)
