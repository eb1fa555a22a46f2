"""Pictures of every kind keep their order of brightness, and what is done to them is said."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms, ImageOps

from otlabel_torch.images.decoding import ORIENTATION, TURNS, Reading, read
from otlabel_torch.images.images import Source, load
from otlabel_torch.system.errors import DataError

STEPS = np.linspace(0, 1, 16)


def brightness(root, **more):
    """(n, 16) mean of each column of steps, of all images, and the images."""
    # What is decoded on call is kept larger than what is seen, 16 for 14.
    images, _ = load(Source("folder", root, 14 if more.get("keep") == "files" else 16, **more))
    pixels = images.take(torch.arange(len(images))).float().mean(dim=1)
    return pixels.mean(dim=1).numpy(), images


def write(root, name, columns, mode=None, **options):
    """16 x 16, a column a step."""
    root.mkdir(exist_ok=True)
    array = np.tile(columns, (16, 1))
    image = Image.fromarray(array) if mode is None else Image.fromarray(array).convert(mode)
    image.save(root / name, **options)


@pytest.mark.parametrize("keep", ["memory", "files"])
@pytest.mark.parametrize(
    ("top", "dtype", "suffix"),
    [
        (4095, np.uint16, "png"),  # X-rays: 12 of 16 bits
        (1023, np.uint16, "tif"),
        (65535, np.uint16, "tif"),
        (255, np.int32, "tif"),
        (30_000, np.int32, "tif"),
        (1.0, np.float32, "tif"),
        (30_000, np.float32, "tif"),
    ],
)
def test_gray_beyond_8_bits_has_the_scale_of_all_files(tmp_path, top, dtype, suffix, keep):
    write(tmp_path, f"a.{suffix}", (STEPS * top).astype(dtype))
    write(tmp_path, f"b.{suffix}", (STEPS * top / 4).astype(dtype))  # a dark one stays dark
    found, images = brightness(tmp_path, keep=keep)
    np.testing.assert_allclose(found[0], 255 * STEPS, atol=2.5)
    np.testing.assert_allclose(found[1], 255 * STEPS / 4, atol=2.5)
    assert images.pixel_range == (0, top)
    assert any(
        f"gray beyond 8 bits, where 0 becomes black and {top:g} white, unless `pixel_range` says otherwise: 2 (" in line
        for line in images.said
    )
    given, images = brightness(tmp_path, reading=Reading(pixel_range=(0, 2 * top)))
    np.testing.assert_allclose(given[0], 127.5 * STEPS, atol=2.5)


def test_negative_values_are_the_darkest(tmp_path):
    write(tmp_path, "ct.tif", (STEPS * 3000 - 1000).astype(np.int32))  # Hounsfield units
    found, images = brightness(tmp_path)
    np.testing.assert_allclose(found[0], 255 * STEPS, atol=2.5)
    assert images.pixel_range == (-1000, 2000)


def test_new_images_get_the_scale_that_is_known(tmp_path):
    write(tmp_path / "new", "dark.png", (STEPS * 1000).astype(np.uint16))
    found, images = brightness(tmp_path / "new", reading=Reading(pixel_range=(0, 4095)))
    assert found.max() < 70
    assert images.pixel_range == (0, 4095)


@pytest.mark.parametrize(("mode", "suffix"), [("RGBA", "png"), ("LA", "png"), ("P", "gif"), ("RGBA", "webp")])
@pytest.mark.parametrize(("background", "value"), [("white", 255), ("black", 0), ("gray", 128)])
def test_what_is_behind_transparent_pixels(tmp_path, mode, suffix, background, value):
    """Black drawings on transparent ground are not black squares."""
    drawing = np.zeros((16, 16, 4), np.uint8)
    drawing[:, :8, 3] = 255  # the left half is drawn
    image = Image.fromarray(drawing)
    image = image.convert("LA") if mode == "LA" else image  # GIF makes its own palette
    image.save(tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {}))
    found, images = brightness(tmp_path, reading=Reading(background=background))
    np.testing.assert_allclose(found[0, :8], 0, atol=1)
    np.testing.assert_allclose(found[0, 8:], value, atol=1)
    assert any(f"put on {background} where transparent" in line for line in images.said)


@pytest.mark.parametrize("turn", range(1, 9))
def test_pictures_are_upright(tmp_path, turn):
    """As EXIF says; Pillow's own rule is the oracle."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[ORIENTATION] = turn
    picture.save(tmp_path / "a.png", exif=exif)
    with Image.open(tmp_path / "a.png") as stored:
        truth = ImageOps.exif_transpose(stored)
    assert np.array_equal(np.asarray(read(tmp_path / "a.png", Reading())), np.asarray(truth))
    assert np.array_equal(np.asarray(read(tmp_path / "a.png", Reading(upright=False))), np.asarray(picture))
    _, images = brightness(tmp_path)
    assert bool(images.notes) == (turn in TURNS)


@pytest.mark.parametrize("suffix", ["gif", "webp", "avif", "jp2", "bmp", "tga", "qoi", "ppm"])
def test_whatever_pillow_reads_is_an_image(tmp_path, suffix):
    write(tmp_path, f"a.{suffix}", np.rint(255 * STEPS).astype(np.uint8), mode="RGB")
    found, images = brightness(tmp_path)
    assert images.paths == [f"a.{suffix}"]
    assert np.corrcoef(found[0], STEPS)[0, 1] > 0.99


def test_the_first_frame_of_what_is_animated(tmp_path):
    frames = [Image.new("L", (16, 16), value) for value in (200, 20, 120)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    found, images = brightness(tmp_path)
    np.testing.assert_allclose(found, 200, atol=1)
    assert "that are animated, of which the first frame is taken: 1 (a.gif)" in " ".join(images.said).replace(
        f"{tmp_path}/", ""
    )


def test_too_many_pixels_are_named_with_a_remedy_that_works(tmp_path):
    write(tmp_path, "a.png", np.zeros(16, np.uint8))
    Image.new("L", (400, 300)).save(tmp_path / "large.png")
    with pytest.raises(DataError, match=r"large\.png has 120,000 pixels, more than 1,000\. .* add `max_pixels` 120000"):
        load(Source("folder", tmp_path, 16, reading=Reading(max_pixels=1000)))
    images, _ = load(Source("folder", tmp_path, 16, reading=Reading(max_pixels=1000), skip_bad=True))
    assert images.paths == ["a.png"]
    assert len(load(Source("folder", tmp_path, 16, reading=Reading(max_pixels=120_000)))[0]) == 2


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "LAB"])
def test_modes_of_8_bits(tmp_path, mode):
    suffix = {"CMYK": "tif", "YCbCr": "tif", "LAB": "tif"}.get(mode, "png")
    gray = np.repeat(np.rint(255 * STEPS).astype(np.uint8)[:, None], 3, axis=1)
    image = Image.fromarray(np.tile(gray, (16, 1, 1)))
    if mode == "LAB":
        rgb, lab = (ImageCms.createProfile(name) for name in ("sRGB", "LAB"))
        image = ImageCms.profileToProfile(image, rgb, lab, outputMode="LAB")
    else:
        image = image.convert(mode)
    image.save(tmp_path / f"a.{suffix}")
    found, _ = brightness(tmp_path)
    assert found[0, :4].mean() < found[0, 6:10].mean() < found[0, -4:].mean()


def tiff(path, array, **tags):
    """A TIFF file as its tags say, which Pillow itself would not write."""
    from PIL import TiffImagePlugin

    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in tags.items():
        info[int(tag.removeprefix("t"))] = value
    Image.fromarray(array).save(path, tiffinfo=info)


@pytest.mark.parametrize("upright", [True, False])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("turn", [3, 6, 8])
def test_tiff_files_are_turned_as_asked(tmp_path, turn, dtype, upright):
    """Pillow turns them when it reads their pixels, and then says that they are upright."""
    array = np.tile((STEPS * np.iinfo(dtype).max).astype(dtype), (16, 1))
    tiff(tmp_path / "a.tif", array, t274=turn)
    images, _ = load(Source("folder", tmp_path, 16, reading=Reading(upright=upright)))
    lies = Image.fromarray((array / np.iinfo(dtype).max * 255).astype(np.uint8))
    expected = lies.transpose(TURNS[turn]) if upright else lies
    np.testing.assert_allclose(images.pixels[0, 0].float(), np.asarray(expected), atol=1.5)
    said = f"images {'turned upright, as' if upright else 'not turned, whatever'} their EXIF orientation says: 1 ("
    assert said in " ".join(images.said)


def test_tiff_files_of_the_other_way_round(tmp_path):
    """White is 0 in some, as scanners write them; large numbers are no negative ones; and small ones may be."""
    tiff(tmp_path / "a.tif", np.tile((STEPS[::-1] * 65535).astype(np.uint16), (16, 1)), t262=0)
    found, _ = brightness(tmp_path)
    np.testing.assert_allclose(found[0], 255 * STEPS, atol=2)
    with Image.open(tmp_path / "a.tif") as image:
        assert np.asarray(image)[0, 0] == 65535  # Pillow leaves it as it is stored


def test_numbers_that_are_none_and_scales_that_differ(tmp_path):
    steps = np.tile(STEPS.astype(np.float32), (16, 1))
    steps[0, 0] = np.nan
    Image.fromarray(steps).save(tmp_path / "a.tif")
    found, images = brightness(tmp_path)
    np.testing.assert_allclose(found[0], 255 * STEPS, atol=2)
    assert "images with pixels of no number, taken as black: 1 (" in " ".join(images.said)
    write(tmp_path, "b.png", (STEPS * 65535).astype(np.uint16))
    with pytest.raises(DataError, match=r"one scale, but .*a\.tif counts to 1 and .*b\.png beyond 255\. Convert"):
        brightness(tmp_path)
    (tmp_path / "b.png").unlink()
    Image.fromarray(np.full((16, 16), np.nan, np.float32)).save(tmp_path / "c.tif")
    images, _ = load(Source("folder", tmp_path, 16, skip_bad=True))
    assert len(images) == 2  # black, where nothing is known


def test_what_a_known_range_cuts_off_is_said(tmp_path):
    write(tmp_path, "a.png", (STEPS * 4095).astype(np.uint16))
    _, images = brightness(tmp_path, reading=Reading(pixel_range=(0, 1023)))
    assert "images with gray beyond the range, cut off at its ends: 1 (" in " ".join(images.said)


def test_sixteen_bits_a_colour_are_said(tmp_path):
    """Pillow has no more than 8 of them."""
    from otlabel_torch.images.decoding import deep_colours

    write(tmp_path, "a.png", np.zeros(16, np.uint8), "RGB")
    assert not deep_colours(tmp_path / "a.png")
    data = bytearray((tmp_path / "a.png").read_bytes())
    data[24] = 16
    (tmp_path / "b.png").write_bytes(data)
    assert deep_colours(tmp_path / "b.png")
