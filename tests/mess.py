"""Data as people have it, all at once: python tests/mess.py DIR, and then the commands that it prints.

Every picture is dark on its left and bright on its right, as whoever looks at it sees it.
"""

from __future__ import annotations

import argparse
import csv
import io
import os
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torchvision.models import resnet18

from otlabel_torch.images.decoding import ORIENTATION, TURNS

SIDE = 24
HUGE = 13_400  # of a side: 180 million pixels, of a few kilobytes
_BACK = {Image.Transpose.ROTATE_90: Image.Transpose.ROTATE_270, Image.Transpose.ROTATE_270: Image.Transpose.ROTATE_90}


def steps(top: float = 255, dark: float = 0) -> np.ndarray:
    """(SIDE, SIDE) from dark to bright."""
    return np.tile(np.linspace(dark, top, SIDE), (SIDE, 1))


def gray(dark: float = 0) -> Image.Image:
    return Image.fromarray(steps(dark=dark).astype(np.uint8))


def turned(orientation: int) -> bytes:
    """A picture that lies as a camera held otherwise saves it."""
    image, exif = gray(orientation).convert("RGB"), Image.Exif()
    exif[ORIENTATION] = orientation
    turn = TURNS.get(orientation)
    if turn is not None:
        image = image.transpose(_BACK.get(turn, turn))
    return encoded(image, "jpeg", exif=exif, quality=95)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def transparent(mode: str, seed: int) -> Image.Image:
    """Black, and the less opaque the further to the right: on white it is a picture like the others."""
    alpha = Image.fromarray((255 - steps(dark=seed)).astype(np.uint8))
    image = Image.new("RGBA", (SIDE, SIDE))
    image.putalpha(alpha)
    return image.convert(mode)


def pictures() -> dict[str, bytes]:
    """Names below a folder of training images, and what is in them: all are to be labelled."""
    named: dict[str, bytes] = {
        "xray/12 bits.png": encoded(Image.fromarray(steps(4095).astype(np.uint16)), "png"),
        "xray/12 bits, dark.tif": encoded(Image.fromarray(steps(1000).astype(np.uint16)), "tiff"),
        "xray/int32.tif": encoded(Image.fromarray(steps(3000).astype(np.int32)), "tiff"),
        "xray/float.tiff": encoded(Image.fromarray(steps(2000).astype(np.float32)), "tiff"),
        "logo/RGBA.png": encoded(transparent("RGBA", 1), "png"),
        "logo/LA.png": encoded(transparent("LA", 2), "png"),
        "logo/RGBA.webp": encoded(transparent("RGBA", 3), "webp", lossless=True),
        "photo/CMYK.jpg": encoded(gray(5).convert("CMYK"), "jpeg", quality=95),
        "photo/palette.png": encoded(gray(6).convert("P"), "png"),
        "photo/a.gif": encoded(gray(7), "gif", save_all=True, append_images=[Image.new("L", (SIDE, SIDE))]),
        "photo/b.avif": encoded(gray(8).convert("RGB"), "avif"),
        "photo/c.jp2": encoded(gray(9), "jpeg2000"),
        "photo/D.BMP": encoded(gray(10), "bmp"),
        "photo/deep/er/E.JPEG": encoded(gray(11), "jpeg", quality=95),
        "names/caf\u00e9.png": encoded(gray(12), "png"),
        "names/cafe\u0301.png": encoded(gray(13), "png"),
        'names/quo"te, comma.png': encoded(gray(14), "png"),
        "names/line\nbreak.png": encoded(gray(15), "png"),
        "names/=1+1.png": encoded(gray(16), "png"),
        os.fsdecode(b"names/latin\xe9.png"): encoded(gray(17), "png"),
    }
    named |= {f"phone/{orientation}.jpg": turned(orientation) for orientation in range(1, 9)}
    return named


def build(root: Path) -> None:
    """``root``/images and what is made of the same pictures: archives, tables, shards, weights."""
    top = root / "images"
    for name, data in pictures().items():
        write(top / "Train" / name, data)
    for i, name in enumerate(("xray/v1.png", "photo/v2.png", "photo/v3.png")):
        write(top / "Valid" / name, encoded(gray(30 + i), "png"))
    # The same twice, on one side and on both; and what cannot be read
    write(top / "Train" / "photo" / "again.avif", pictures()["photo/b.avif"])
    write(top / "Valid" / "photo" / "trained.bmp", pictures()["photo/D.BMP"])
    write(top / "Train" / "broken" / "half.jpg", turned(1)[:200])
    write(top / "Train" / "broken" / "text.png", b"<html>404</html>")
    write(top / "Train" / "broken" / "empty.png", b"")
    write(top / "Train" / "broken" / "huge.png", encoded(Image.new("1", (HUGE, HUGE)), "png"))
    # What is no image, or nobody's
    for name in ("notes.txt", "Train/labels.csv", "annotations/a.json", "annotations/deep/b.xml"):
        write(top / name, b"{}")
    write(top / "Train" / "photo" / "no ending", encoded(gray(20), "png"))
    for name in (".DS_Store", "Train/Thumbs.db", "Train/photo/._D.BMP", "__MACOSX/Train/._x.png"):
        write(top / name, b"junk")
    for name in ("Train/.ipynb_checkpoints/x-checkpoint.png", "Train/photo/@eaDir/D.BMP/thumb.jpg"):
        write(top / name, encoded(gray(21), "png"))
    (top / "Train" / "nothing").mkdir()
    (top / "Train" / "photo" / "around").symlink_to(top / "Train", target_is_directory=True)
    (top / "Train" / "photo" / "gone.png").symlink_to(root / "nowhere.png")
    _packed(root, {name: data for name, data in pictures().items() if "\udce9" not in name})
    _tables(root)
    _weights(root)


def _packed(root: Path, files: dict[str, bytes]) -> None:
    import pyarrow
    from pyarrow import parquet

    with zipfile.ZipFile(root / "images.zip", "w") as packed:
        for name, data in files.items():
            packed.writestr(f"images/{name}", data)
        packed.writestr("__MACOSX/images/._x.png", b"junk")
    (root / "shards").mkdir()
    with tarfile.open(root / "shards" / "train-000.tar", "w") as shard:
        for i, (name, data) in enumerate(files.items()):
            for kind, content in ((name.rpartition(".")[2], data), ("cls", name.split("/")[0].encode())):
                member = tarfile.TarInfo(f"{i:04d}.{kind}")
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))
    (root / "hf" / "data").mkdir(parents=True)
    images = [{"bytes": data, "path": name} for name, data in files.items()]
    table = pyarrow.table({"image": images, "label": [name.split("/")[0] for name in files]})
    parquet.write_table(table, root / "hf" / "data" / "train-00000-of-00001.parquet")


def _tables(root: Path) -> None:
    """Of paths, as Windows writes them; and of labels, in another order, words and numbers with noise."""
    names = [os.fsencode(name) for name in pictures()]
    order = np.random.default_rng(0).permutation(len(names))

    def write_table(name: str, head: list[str], cells: Callable[[int], list[bytes]]) -> None:
        with (root / name).open("w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            writer = csv.writer(file)
            writer.writerow(head)
            writer.writerows([[os.fsdecode(cell) for cell in cells(i)] for i in order])

    write_table(
        "paths.csv",
        ["filename", "class"],
        lambda i: [b"images\\Train\\" + names[i].replace(b"/", b"\\"), names[i].split(b"/")[0]],
    )
    write_table("words.csv", ["label", "file"], lambda i: [names[i].split(b"/")[0], names[i].split(b"/")[-1]])
    write_table("noise.csv", ["path", "cluster"], lambda i: [b"Train/" + names[i], str(i % 4 - 1).encode()])


def _weights(root: Path) -> None:
    """As MoCo and DINO save them; the latter with its arguments, which are no weights."""
    network = resnet18(weights=None)
    weights = {name: value for name, value in network.state_dict().items() if not name.startswith("fc.")}
    torch.save({"epoch": 1, "state_dict": {f"module.encoder_q.{n}": v for n, v in weights.items()}}, root / "moco.pth")
    student = {f"module.backbone.{name}": value for name, value in weights.items()}
    torch.save({"student": student, "args": argparse.Namespace(lr=0.1)}, root / "dino.pth")


def write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    root = Path(sys.argv[1])
    root.mkdir(parents=True)
    build(root)
    train = f"python -m otlabel_torch.train --out {root}/run --overwrite --epochs 1 --relabels 1 --k 4 --heads 1"
    print(f"{train} --data folder --root {root}/images --skip-bad-images")
    print(f"python -m otlabel_torch.predict {root}/run --root {root}/images --part train --out {root}/again.csv")
    for source in ("folder --root images.zip", "webdataset --root shards", "hf --root hf", "csv --root paths.csv"):
        kind, where = source.split(" --root ")
        print(f"{train} --data {kind} --root {root}/{where}")
    labels = f"--labels {root}/words.csv --data csv --root {root}/paths.csv --epochs 1"
    print(f"python -m otlabel_torch.retrain {labels} --out {root}/again --overwrite")
    print(f"{train} --data csv --root {root}/paths.csv --image-size 64 --arch resnet18 --init {root}/moco.pth")


if __name__ == "__main__":
    main()
