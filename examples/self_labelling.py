# %% [markdown]
# # A network and its labels, from nothing
#
# Digits without their labels: a network scores them, transport makes balanced labels of the scores, the network learns
# those, and so on. What the clusters are worth against the true digits rises as it does.

# %%
import numpy as np
import torch
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from sklearn.metrics import normalized_mutual_info_score
from torch.nn import functional as F

import otlabel

torch.manual_seed(0)
digits = load_digits()
images = torch.from_numpy(digits.images).float()[:, None] / 16
network = torch.nn.Sequential(
    torch.nn.Conv2d(1, 32, 3, padding=1), torch.nn.BatchNorm2d(32), torch.nn.ReLU(),
    torch.nn.Conv2d(32, 64, 3, stride=2, padding=1), torch.nn.BatchNorm2d(64), torch.nn.ReLU(),
    torch.nn.Flatten(), torch.nn.Linear(64 * 16, 20),
)  # fmt: skip
optimiser = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9)


def augmented(batch: torch.Tensor) -> torch.Tensor:
    """Turned and moved a little, with noise."""
    angle = torch.empty(len(batch)).uniform_(-0.25, 0.25)
    matrix = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).view(-1, 2, 2)
    matrix = torch.cat([matrix, torch.empty(len(batch), 2, 1).uniform_(-0.2, 0.2)], dim=2)
    grid = F.affine_grid(matrix, list(batch.shape), align_corners=False)
    return F.grid_sample(batch, grid, align_corners=False) + 0.1 * torch.randn_like(batch)


# %%
worth, start = [], None
for _ in range(15):
    network.eval()
    with torch.no_grad():
        scores = torch.stack([network(augmented(images)) for _view in range(4)]).mean(0).log_softmax(1)
    result = otlabel.assign(scores, epsilon=0.05, init=start)
    labels, start = result.labels, result.potentials
    worth.append(normalized_mutual_info_score(digits.target, labels))
    network.train()
    for batch in torch.randperm(len(images)).split(64):
        optimiser.zero_grad()
        F.cross_entropy(network(augmented(images[batch])), labels[batch]).backward()
        optimiser.step()
print(f"NMI to the digits {worth[0]:.2f} at first, {worth[-1]:.2f} after 15 epochs")

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", width_ratios=(1, 1.4))
left.plot(worth, color="#1a7f5a", marker=".")
left.set(xlabel="epoch", ylabel="NMI to the digits", ylim=(0, 1))
order = np.argsort(-result.predictor.confidence(scores, labels).numpy(), kind="stable")
sheet = np.zeros((10 * 8, 12 * 8))
for row in range(10):
    for column, item in enumerate(order[labels.numpy()[order] == row][:12]):
        sheet[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = digits.images[item]
right.imshow(sheet, cmap="gray_r")
right.set_title("ten of the twenty clusters, the surest first")
right.axis("off")
figure.savefig("self_labelling.png", dpi=110)
