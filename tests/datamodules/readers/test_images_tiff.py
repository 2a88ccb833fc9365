"""TIFF: what is read is what tifffile reads, turned upright, or the file is refused; there is no third outcome."""

import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from datamodules.cache import DecodedCache
from datamodules.decoder import Decoder
from datamodules.readers import ImageReader, ImageReadError, RgbyReader, StackReader
from datamodules.readers.images import check_picture, picture_pixels, picture_size, read_picture
from datamodules.table import find_images
from datamodules.targets import Foreground, InstanceFolders, LabelImages, MaskFiles, TouchingBorders

TURNED = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}
TYPES = ("uint8", "uint16", "int16", "uint32", "int32", "float32")
MANY = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.data_too_large, HealthCheck.too_slow],
)


def values(kind, shape, seed):
    random = np.random.default_rng(seed)
    if np.dtype(kind).kind == "f":
        return random.normal(0, 1e4, shape).astype(kind)
    low, high = (0, 2) if kind == "bool" else (np.iinfo(kind).min, np.iinfo(kind).max)
    return random.integers(low, high, shape, np.int64, endpoint=kind != "bool").astype(kind)


@st.composite
def files(draw):
    """Type, samples and number of the pages, how they are written, byte order, orientation, and whether as BigTIFF."""
    kind = draw(st.sampled_from((*TYPES, "bool")))
    samples = 1 if kind == "bool" else draw(st.integers(1, 5))
    compressions = [None] if kind == "bool" else [None, "lzw", "zlib", "packbits"]
    if kind == "uint8" and samples in (1, 3):
        compressions.append("jpeg")
    compression = draw(st.sampled_from(compressions))
    planar = samples > 1 and compression != "jpeg" and draw(st.booleans())
    options = {
        "photometric": "rgb" if samples in (3, 4) and draw(st.booleans()) else "minisblack",
        "planarconfig": ("separate" if planar else "contig") if samples > 1 else None,
        "compression": compression,
        "predictor": compression in ("lzw", "zlib") and draw(st.booleans()),
    }
    # tifffile writes no JPEG of three grays
    options["photometric"] = "rgb" if compression == "jpeg" and samples == 3 else options["photometric"]
    options |= draw(st.sampled_from([{}, {"rowsperstrip": 7}, {"rowsperstrip": 8}, {"tile": (16, 16)}]))
    if compression == "jpeg" and options.get("rowsperstrip") == 7:
        options["rowsperstrip"] = 8
    pages = kind, samples, draw(st.integers(1, 3))
    return pages, options, draw(st.sampled_from("<>")), draw(st.integers(1, 8)), draw(st.booleans())


def made(kind, samples, count):
    return [values(kind, (20, 33, samples), seed) for seed in range(count)]


def write(path, pages, options, order="<", orientation=1, bigtiff=False):
    with tifffile.TiffWriter(path, byteorder=order, bigtiff=bigtiff) as file:
        for page in pages:
            page = page[..., 0] if page.shape[2] == 1 else page
            page = np.moveaxis(page, 2, 0) if options["planarconfig"] == "separate" else page
            file.write(page, **options, extratags=[(274, "H", 1, orientation, True)], metadata=None, contiguous=False)
    return path


def reference(path, number, orientation, planar):
    """`(H, W, S)` of a page."""
    page = tifffile.imread(path, key=number)
    page = page[..., None] if page.ndim == 2 else np.moveaxis(page, 0, 2) if planar else page
    return TURNED[orientation](page)


@MANY
@given(file=files())
def test_all_kinds_are_read_exactly(tmp_path, file):
    pages, options, order, orientation, bigtiff = made(*file[0]), *file[1:]
    path = write(tmp_path / "a.tif", pages, options, order, orientation, bigtiff)
    planar = options["planarconfig"] == "separate"
    expected = [reference(path, number, orientation, planar) for number in range(len(pages))]
    if options["compression"] != "jpeg":  # the reference itself
        np.testing.assert_array_equal(expected[-1], TURNED[orientation](pages[-1]))

    def same(found, wanted, pages):
        assert found.dtype == wanted.dtype
        assert found.dtype.isnative
        np.testing.assert_array_equal(found, wanted)
        assert picture_size(path, pages=pages) == found.shape[:-1]
        kind = picture_pixels(path, "unchanged", pages=pages)
        assert kind.channels == found.shape[-1]
        assert kind.type == ("1-bit" if found.dtype == bool else found.dtype.name)
        check_picture(path, pages=pages)

    for number, wanted in enumerate(expected):
        same(read_picture(path, "unchanged", pages=number), wanted, number)
    same(read_picture(path, "unchanged", pages="channels"), np.concatenate(expected, axis=2), "channels")
    same(read_picture(path, "unchanged", pages="stack"), np.stack(expected), "stack")
    if len(pages) == 1:
        same(read_picture(path, "unchanged"), expected[0], None)
        return
    for look in (read_picture, picture_size, picture_pixels, check_picture):
        with pytest.raises(ImageReadError, match=rf"a\.tif has {len(pages)} pages, expected 1: .*pages"):
            look(path)


@MANY
@given(file=files())
def test_colours_are_the_files_or_refused(tmp_path, file):
    pages, options, order, orientation, bigtiff = made(*file[0]), *file[1:]
    path = write(tmp_path / "a.tif", pages[:1], options, order, orientation, bigtiff)
    expected = reference(path, 0, orientation, options["planarconfig"] == "separate")
    alpha = options["photometric"] == "rgb" and expected.shape[2] == 4
    expected = expected[..., :3] if alpha else expected
    expected = expected.astype(np.uint8) * np.uint8(255) if expected.dtype == bool else expected
    if expected.shape[2] in (1, 3):
        rgb = read_picture(path)
        np.testing.assert_array_equal(rgb, np.repeat(expected, 3, axis=2) if expected.shape[2] == 1 else expected)
        gray = read_picture(path, "gray")
        assert rgb.dtype == gray.dtype == expected.dtype
        weighted = expected @ [0.299, 0.587, 0.114] if expected.shape[2] == 3 else expected[..., 0]
        np.testing.assert_allclose(gray[..., 0], weighted, rtol=1e-4, atol=2)
        assert picture_pixels(path) == (expected.dtype.name, 3)
        return
    for channels in ("rgb", "gray"):
        with pytest.raises(ImageReadError, match=rf"a\.tif has {expected.shape[2]} channels.*unchanged to keep all"):
            read_picture(path, channels)
        with pytest.raises(ImageReadError, match=r"a\.tif has"):
            ImageReader(channels).check(SimpleNamespace(path=path))


@MANY
@given(file=files())
def test_ids_of_objects_are_the_files_or_refused(tmp_path, file):
    pages, options, order, orientation, bigtiff = made(*file[0]), *file[1:]
    path = write(tmp_path / "a.tif", pages, options, order, orientation, bigtiff)
    target = LabelImages("{image_id}.tif")
    target.prepare(pd.DataFrame({"image_id": ["a"]}), tmp_path)
    expected = reference(path, 0, orientation, options["planarconfig"] == "separate")
    wrong = len(pages) > 1 or expected.shape[2] > 1 or expected.min() < 0 or not (expected == np.rint(expected)).all()
    wrong |= options["compression"] == "jpeg"  # which has changed them
    if wrong:
        with pytest.raises(ValueError, match=r"a\.tif has "):
            target.read(SimpleNamespace(image_id="a"), expected.shape[:2])
        return
    found = target.read(SimpleNamespace(image_id="a"), expected.shape[:2])["instances"]
    assert found.dtype in (np.int32, np.uint32)
    np.testing.assert_array_equal(found, expected[..., 0])


@MANY
@given(file=files())
def test_class_numbers_are_the_files_or_refused(tmp_path, file):
    pages, options, order, orientation, bigtiff = made(*file[0]), *file[1:]
    small = pages[0].dtype == np.uint8 and options["compression"] != "jpeg"
    pages = [page % 9 if small else page for page in pages]
    path = write(tmp_path / "a.tif", pages, options, order, orientation, bigtiff)
    target = MaskFiles("{image_id}.tif", classes=9)
    target.prepare(pd.DataFrame({"image_id": ["a"]}), tmp_path)
    expected = reference(path, 0, orientation, options["planarconfig"] == "separate")
    if len(pages) > 1 or expected.shape[2] > 1 or not (small or expected.dtype == bool):
        with pytest.raises(ValueError, match=r"a\.tif has "):
            target.read(SimpleNamespace(image_id="a"), expected.shape[:2])
        return
    found = target.read(SimpleNamespace(image_id="a"), expected.shape[:2])["mask"]
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, expected[..., 0])


@pytest.mark.parametrize("disk", [False, True])
@pytest.mark.parametrize("kind", [*TYPES, "bool"])
def test_the_cache_gives_what_the_file_holds(tmp_path, kind, disk):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    image, ids = values(kind, (20, 33, 1 if kind == "bool" else 4), 0), values("uint32", (20, 33, 1), 1)
    for name, array in (("images", image), ("labels", ids)):
        options = {"photometric": "minisblack", "planarconfig": "contig" if array.shape[2] > 1 else None}
        write(tmp_path / name / "a.tif", [array], options)
    table, target = find_images(tmp_path, "images/*.tif"), LabelImages("labels/{image_id}.tif")
    target.prepare(table, tmp_path)
    cache = DecodedCache(Decoder(ImageReader("unchanged"), [target]), tmp_path / "cache" if disk else None)
    cache.build(table, show=False)
    found, arrays = cache.read(next(table.itertuples(index=False)))
    assert found.dtype == image.dtype
    np.testing.assert_array_equal(found, image)
    np.testing.assert_array_equal(arrays["instances"], ids[..., 0])


@pytest.mark.parametrize("ids", [[1, 65536, 65537], [3, 2**31 - 1, 2**31], [7, 65535, 2**32 - 1]])
def test_large_ids_stay_apart_in_what_is_derived(tmp_path, ids):
    labels = np.zeros((30, 30), np.uint32)
    labels[2:12, 2:12], labels[2:12, 12:20], labels[20:25, 2:6] = ids
    tifffile.imwrite(tmp_path / "a.tif", labels)
    target = LabelImages("{image_id}.tif")
    target.prepare(pd.DataFrame({"image_id": ["a"]}), tmp_path)
    large = target.read(SimpleNamespace(image_id="a"), labels.shape)
    small = {"instances": np.searchsorted([0, *ids], labels).astype(np.int32)}
    for derived in (TouchingBorders(), Foreground()):
        for name, array in derived.derive(large).items():
            np.testing.assert_array_equal(array, derived.derive(small)[name])
            assert array.any()


def test_fractions_are_no_ids(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 1.5]], np.float32))
    tifffile.imwrite(tmp_path / "b.tif", np.array([[0, 3.0]], np.float32))
    tifffile.imwrite(tmp_path / "c.tif", np.array([[0, -3]], np.int16))
    target = LabelImages("{image_id}.tif")
    target.prepare(pd.DataFrame({"image_id": ["a", "b", "c"]}), tmp_path)
    with pytest.raises(ValueError, match=r"a\.tif has value 1\.5, expected integers"):
        target.read(SimpleNamespace(image_id="a"), (1, 2))
    np.testing.assert_array_equal(target.read(SimpleNamespace(image_id="b"), (1, 2))["instances"], [[0, 3]])
    with pytest.raises(ValueError, match=r"c\.tif has value -3, expected ids of 0"):
        target.read(SimpleNamespace(image_id="c"), (1, 2))


# --- kinds of colour -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_palette_is_resolved_or_its_numbers(tmp_path, orientation):
    random = np.random.default_rng(0)
    numbers, map_ = random.integers(0, 256, (20, 33), np.uint8), random.integers(0, 256, (3, 256)).astype(np.uint16)
    tags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", numbers, photometric="palette", colormap=map_ * 257, extratags=tags)
    upright = TURNED[orientation](numbers)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif", "unchanged")[..., 0], upright)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif"), map_.T[upright])
    gray = np.asarray(Image.fromarray(map_.T[upright].astype(np.uint8)).convert("L"))
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif", "gray")[..., 0], gray)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_palette_of_few_bits(tmp_path, bits):
    """Packed by hand: no library here writes it."""
    random = np.random.default_rng(0)
    numbers, map_ = random.integers(0, 2**bits, (20, 33), np.uint8), random.integers(0, 256, (3, 2**bits))
    planes = (numbers[..., None] >> np.arange(bits)[::-1]) & 1
    pixels = np.packbits(planes.reshape(20, -1).astype(bool), axis=1).tobytes()
    colours = (map_ * 257).astype("<u2").tobytes()
    tags = [(256, 3, 1, 33), (257, 3, 1, 20), (258, 3, 1, bits), (259, 3, 1, 1), (262, 3, 1, 3)]
    tags += [(273, 4, 1, 400), (277, 3, 1, 1), (278, 3, 1, 20), (279, 4, 1, len(pixels)), (320, 3, 3 * 2**bits, 200)]
    header = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    (tmp_path / "a.tif").write_bytes(header.ljust(200, b"\0") + colours.ljust(200, b"\0") + pixels)
    found = read_picture(tmp_path / "a.tif", "unchanged")
    assert picture_pixels(tmp_path / "a.tif", "unchanged") == (found.dtype.name, 1) == ("uint8", 1)
    np.testing.assert_array_equal(found[..., 0], numbers)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif"), map_.T[numbers])


@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_where_0_is_white_8_bits_are_inverted(tmp_path, kind):
    """As Pillow does: deeper ones are the numbers of the file."""
    image = values(kind, (20, 33), 0)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="miniswhite")
    expected = {"uint8": np.iinfo(np.uint8).max - image, "uint16": image}[kind]
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif", "unchanged")[..., 0], expected)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", None])
def test_one_bit_is_stored_truth_or_what_is_seen(tmp_path, photometric, orientation):
    """Unasked, tifffile writes True as black: a mask must come back as it was."""
    mask = values("bool", (20, 33), 0)
    tags = [(274, "H", 1, orientation, True)]
    tifffile.imwrite(tmp_path / "a.tif", mask, photometric=photometric, extratags=tags)
    mask = TURNED[orientation](mask)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif", "unchanged")[..., 0], mask)
    seen = mask if photometric == "minisblack" else ~mask
    for channels in ("rgb", "gray"):
        np.testing.assert_array_equal(read_picture(tmp_path / "a.tif", channels)[..., 0], seen * 255)
    target = InstanceFolders("{image_id}.tif")
    target.prepare(pd.DataFrame({"image_id": ["a"]}), tmp_path)
    np.testing.assert_array_equal(target.read(SimpleNamespace(image_id="a"), mask.shape)["instances"], mask)
    for classes in (None, 2):
        target = MaskFiles("{image_id}.tif", classes=classes)
        target.prepare(pd.DataFrame({"image_id": ["a"]}), tmp_path)
        np.testing.assert_array_equal(target.read(SimpleNamespace(image_id="a"), mask.shape)["mask"].squeeze(), mask)


@pytest.mark.parametrize("compression", ["jpeg", "tiff_lzw", "group4", None])
def test_what_pillow_writes_reads_as_before(tmp_path, compression):
    random = np.random.default_rng(0)
    picture = Image.fromarray(random.integers(0, 256, (20, 33, 3), np.uint8)).resize((64, 48))
    mode = {"jpeg": "YCbCr", "group4": "1"}.get(compression, "CMYK" if compression else "RGB")
    picture.convert(mode).save(tmp_path / "a.tif", compression=compression)
    expected = Image.open(tmp_path / "a.tif").convert("RGB")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif"), np.asarray(expected))


@pytest.mark.parametrize("compression", ["lzw", "zlib"])
def test_ycbcr_without_jpeg_is_converted(tmp_path, compression):
    """Luminance 77, no colour."""
    image = np.full((16, 16, 3), (77, 128, 128), np.uint8)
    options = {"photometric": "ycbcr", "subsampling": (1, 1), "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", image, compression=compression, **options)
    np.testing.assert_allclose(read_picture(tmp_path / "a.tif"), 77, atol=1)
    tifffile.imwrite(tmp_path / "a.tif", image, **options)
    with pytest.raises(ImageReadError, match=r"a\.tif is YCBCR, which `channels: rgb` cannot convert"):
        read_picture(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif", "unchanged"), image)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "complex64"}, "contains complex numbers"),
        (
            {"photometric": "cfa", "extratags": [(33421, "H", 2, (2, 2), True), (33422, "B", 4, bytes(4), True)]},
            "is CFA",
        ),
        ({"photometric": "cielab", "samples": 3}, "is CIELAB.*unchanged"),
        ({"volumetric": True, "shape": (16, 16, 16), "tile": (16, 16, 16)}, "contains an image of"),
    ],
)
def test_what_is_no_picture_in_colour_is_refused(tmp_path, options, message):
    options = dict(options)
    shape = options.pop("shape", (20, 33, options["samples"]) if "samples" in options else (20, 33))
    options.pop("samples", None)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros(shape, options.pop("dtype", "uint8")), metadata=None, **options)
    with pytest.raises(ImageReadError, match=rf"a\.tif {message}"):
        read_picture(tmp_path / "a.tif")


# --- pages -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["plain", "ome", "imagej", "imagej one header", "shaped one header"])
@pytest.mark.parametrize("kind", ["uint8", "uint16"])
def test_pages_of_microscopes(tmp_path, form, kind):
    pages = values(kind, (3, 20, 33), 0)
    options = {
        "plain": {"metadata": None},
        "ome": {"ome": True, "metadata": {"axes": "CYX"}},
        "imagej": {"imagej": True, "metadata": {"axes": "ZYX"}},
        "imagej one header": {"imagej": True, "metadata": {"axes": "ZYX"}},
        "shaped one header": {"metadata": {}, "truncate": True},
    }[form]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pages, photometric="minisblack", **options)
    if form == "imagej one header":  # as ImageJ writes stacks of more than 4 GB
        one_header(path)
    with pytest.raises(ImageReadError, match=r"a\.tif has 3 pages"):
        read_picture(path, "unchanged")
    np.testing.assert_array_equal(read_picture(path, "unchanged", pages="channels"), np.moveaxis(pages, 0, 2))
    np.testing.assert_array_equal(read_picture(path, pages="channels"), np.moveaxis(pages, 0, 2))
    np.testing.assert_array_equal(read_picture(path, "unchanged", pages="stack")[..., 0], pages)
    for number in range(3):
        np.testing.assert_array_equal(read_picture(path, "unchanged", pages=number)[..., 0], pages[number])
    for wrong in (3, -1):
        with pytest.raises(ImageReadError, match=rf"a\.tif has 3 pages, but reader\.pages is {wrong}, expected 0 to 2"):
            read_picture(path, "unchanged", pages=wrong)


def one_header(path):
    """End the chain of pages after the first."""
    with tifffile.TiffFile(path) as file:
        place = file.pages[0].offset + 2 + 12 * len(file.pages[0].tags)
    content = bytearray(path.read_bytes())
    content[place : place + 4] = bytes(4)
    path.write_bytes(content)


def test_a_stack_of_imagej_that_is_cut_off(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, values("uint16", (3, 20, 33), 0), imagej=True)
    one_header(path)
    path.write_bytes(path.read_bytes()[:3000])
    for look in (check_picture, read_picture):
        with pytest.raises(ImageReadError, match=r"a\.tif is damaged: it has 1 of 3 images"):
            look(path)


def test_copies_of_a_smaller_size_and_masks_are_no_pages(tmp_path):
    image = values("uint8", (20, 33, 3), 0)
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(image, photometric="rgb", metadata=None)
        file.write(image[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
        file.write(image[..., 0] > 9, photometric="mask", subfiletype=4, metadata=None)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.tif"), image)


def test_pages_of_several_sizes_are_told(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(values("uint8", (20, 33), 0), metadata=None)
        file.write(values("uint8", (20, 34), 0), metadata=None)
    with pytest.raises(ImageReadError, match=r"a\.tif: its 2 pages have several sizes or types"):
        read_picture(tmp_path / "a.tif", pages="channels")
    assert read_picture(tmp_path / "a.tif", pages=1).shape == (20, 34, 3)


def test_the_reader_knows_pages(tmp_path):
    pages = values("int16", (3, 20, 33), 0)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack")
    row = SimpleNamespace(image_id="a", path=tmp_path / "a.tif")
    reader = ImageReader("unchanged", pages="channels")
    reader.check(row)
    np.testing.assert_array_equal(reader.read(row), np.moveaxis(pages, 0, 2))
    assert (reader.size(row), reader.pixels(row)) == ((20, 33), ("int16", 3))
    for look in (ImageReader().check, ImageReader().size, ImageReader().read):
        with pytest.raises(ImageReadError, match=r"a\.tif has 3 pages"):
            look(row)


def test_readers_of_several_files_keep_depth(tmp_path):
    images = {name: values("uint16", (20, 33), seed) for seed, name in enumerate(("red", "green", "blue"))}
    for name, image in images.items():
        tifffile.imwrite(tmp_path / f"x_{name}.tif", image)
    stacked = np.stack(list(images.values()), axis=2)
    one = SimpleNamespace(image_id="x", path=str(tmp_path / "x_{channel}.tif"))
    reader = RgbyReader(list(images))
    reader.check(one)
    np.testing.assert_array_equal(reader.read(one), stacked)
    assert reader.pixels(one) == ("uint16", 3)
    slices = [str(tmp_path / f"x_{name}.tif") for name in images]
    row = SimpleNamespace(image_id="x", path=slices[1], slices=slices)
    np.testing.assert_array_equal(StackReader().read(row), stacked)
    assert StackReader().pixels(row) == ("uint16", 3)
    tifffile.imwrite(tmp_path / "x_blue.tif", images["blue"].astype(np.uint8))
    with pytest.raises(ImageReadError, match=r"channel blue is .*uint8, but red is .*uint16"):
        reader.check(one)
    with pytest.raises(ImageReadError, match=r"x_green.tif and its neighbouring slices.*uint16.*uint8"):
        StackReader().read(row)


# --- damage ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Files of several kinds, as bytes."""
    folder, image = tmp_path_factory.mktemp("sound"), values("uint16", (40, 50, 3), 0)
    kinds = {
        "plain": {},
        "strips": {"compression": "zlib", "rowsperstrip": 8},
        "tiles": {"compression": "lzw", "tile": (16, 16)},
        "big": {"bigtiff": True},
    }
    for name, options in kinds.items():
        tifffile.imwrite(folder / f"{name}.tif", image, photometric="rgb", metadata=None, **options)
    Image.fromarray((image >> 8).astype(np.uint8)).save(folder / "jpeg.tif", compression="jpeg")
    Image.fromarray((image >> 8).astype(np.uint8)).convert("1").save(folder / "fax.tif", compression="group4")
    return [file.read_bytes() for file in sorted(folder.glob("*.tif"))]


@settings(MANY, max_examples=100)
@given(data=st.data())
def test_damage_is_told_by_name_and_nothing_else(tmp_path, capfd, sound, data):
    content = bytearray(data.draw(st.sampled_from(sound)))
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(4, len(content) - 1))]
    else:
        for place in data.draw(st.lists(st.integers(4, min(len(content), 400) - 1), min_size=1, max_size=4)):
            content[place] = data.draw(st.integers(0, 255))
    path = tmp_path / "a.tif"
    path.write_bytes(content)
    for look in (check_picture, picture_size, picture_pixels):
        try:
            look(path, 1_000_000) if look is not picture_pixels else look(path, "unchanged", 1_000_000)
        except ImageReadError as error:
            assert "a.tif" in str(error).splitlines()[0]  # noqa: PT017 - a sound file is right too
    try:
        found = read_picture(path, "unchanged", 1_000_000)
    except ImageReadError as error:
        assert "a.tif" in str(error).splitlines()[0]  # noqa: PT017
    else:
        assert found.ndim == 3
    assert "tifffile" not in capfd.readouterr().err


def test_a_cut_off_file_is_always_refused(tmp_path, sound):
    """Whatever is missing: pixels, tiles or the next page."""
    for content in sound:
        for share in (0.1, 0.5, 0.9, 0.99):
            (tmp_path / "a.tif").write_bytes(content[: int(len(content) * share)])
            for look in (check_picture, read_picture):
                with pytest.raises(ImageReadError, match=r"a\.tif is "):
                    look(tmp_path / "a.tif")


def test_a_page_that_is_cut_off_is_not_left_out(tmp_path):
    pages = values("uint8", (3, 200, 330), 0)
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="minisblack", metadata=None)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: 200 * 330 + 200])  # the first page is whole, the second's header is not
    with pytest.raises(ImageReadError, match=r"a\.tif is damaged"):
        read_picture(tmp_path / "a.tif")


def test_tiles_that_were_never_written_are_no_black_pixels(tmp_path):
    tags = [(256, 3, 1, 32), (257, 3, 1, 16), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1)]
    tags += [(322, 3, 1, 16), (323, 3, 1, 16), (324, 4, 2, 200), (325, 4, 2, 208)]
    tile = zlib.compress(bytes(range(256)))
    header = struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(tags))
    header += b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    content = header.ljust(200, b"\0") + struct.pack("<4I", 216, 0, len(tile), 0) + tile
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(ImageReadError, match=r"a\.tif is damaged: 1 of 2 strips or tiles are missing"):
        read_picture(tmp_path / "a.tif")


def test_claims_of_many_values_are_compared_with_the_limit(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", np.zeros((100, 100, 60), np.uint8), photometric="minisblack", planarconfig="contig"
    )
    with pytest.raises(ImageReadError, match=r"a\.tif is 100 x 100 pixels of 60 values, more than reader.max_pixels"):
        read_picture(tmp_path / "a.tif", "unchanged", 20_000)
