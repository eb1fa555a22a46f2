"""Unpack a CIFAR-10 .npz of JPEG bytes into train/CLASS/*.jpg and val/CLASS/*.jpg, the layout of --data folder.

The file holds, for SPLIT in train and test: SPLIT_jpeg (the JPEG files' bytes, joined), SPLIT_offset (n+1 positions in
it), SPLIT_label (n class indices); and classes (names). Images are taken from the front of each split.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from tqdm import tqdm


def unpack(source: Path, target: Path, train: int, val: int) -> None:
    """Write the first ``train`` and ``val`` images of the two splits below ``target``."""
    if target.exists() and any(target.iterdir()):
        raise SystemExit(f"error: {target} is not empty. Choose another folder, or empty it.")
    with np.load(source, allow_pickle=False) as file:
        names = [str(name) for name in file["classes"]]
        for split, folder, count in (("train", "train", train), ("test", "val", val)):
            offsets, classes = file[f"{split}_offset"], file[f"{split}_label"]
            if count > len(classes):
                raise SystemExit(f"error: {source} has {len(classes)} images to {split}, {count} were asked for.")
            stream = file[f"{split}_jpeg"].tobytes()
            for i in tqdm(range(count), desc=folder, unit="img", disable=None):
                path = target / folder / names[classes[i]] / f"{i:05d}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(stream[offsets[i] : offsets[i + 1]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the .npz file")
    parser.add_argument("target", type=Path, help="the folder to fill")
    parser.add_argument("--train", type=int, default=10_000, help="training images (default: %(default)s)")
    parser.add_argument("--val", type=int, default=2_000, help="validation images (default: %(default)s)")
    arguments = parser.parse_args()
    unpack(arguments.source, arguments.target, arguments.train, arguments.val)


if __name__ == "__main__":
    main()
