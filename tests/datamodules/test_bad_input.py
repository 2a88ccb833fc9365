"""Bad files and keys are named before training starts, with what was found and what to do."""

import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageFile

from datamodules import ImageDataModule
from datamodules.decoder import Decoder
from datamodules.readers import ImageReader, ImageReadError
from datamodules.table import find_images, join_columns, numbers, rows_of
from datamodules.targets import InstanceFolders, LabelImages, MaskFiles, RunLengths
from files.paths import confined


@pytest.fixture
def root(tmp_path):
    """Three pictures with masks."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        for name in "abc":
            Image.fromarray(np.eye(8, 6, dtype=np.uint8) * 255).save(tmp_path / folder / f"{name}.png")
    return tmp_path


def truth(root, target, image_id="a"):
    table = find_images(root, "images/*.png")
    target.prepare(table, root)
    row = next(row for row in rows_of(table) if row.image_id == image_id)
    return Decoder(ImageReader(), [target]).read(row)[1]


def save(root, name, array):
    Image.fromarray(array).save(root / "masks" / f"{name}.png")


def test_masks(root):
    target = MaskFiles("masks/{image_id}.png")
    assert truth(root, target)["mask"].shape == (1, 8, 6)
    save(root, "a", np.arange(48, dtype=np.uint8).reshape(8, 6) % 3)
    with pytest.raises(ValueError, match=r"masks/a\.png has values \[0, 1, 2\], expected 0 and one of 1, 255, 65535"):
        truth(root, target)
    with pytest.raises(ValueError, match=r"masks/a\.png has class 2, expected 0 to 1"):
        truth(root, MaskFiles("masks/{image_id}.png", classes=2))
    save(root, "a", np.zeros((6, 8), np.uint8))
    with pytest.raises(ValueError, match=r"masks/a\.png is \(6, 8\), its image 'a' is \(8, 6\).*EXIF"):
        truth(root, target)
    (root / "masks/b.png").unlink()
    (root / "masks/c.png").unlink()
    with pytest.raises(FileNotFoundError, match="2 images have no mask; the first is 'b'"):
        target.prepare(find_images(root, "images/*.png"), root)


def test_palette_masks_are_their_numbers(root):
    picture = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(8, 6) % 3, "P")
    picture.putpalette([0, 0, 0, 250, 10, 10, 10, 10, 250])
    picture.save(root / "masks/a.png")
    assert truth(root, MaskFiles("masks/{image_id}.png", classes=3))["mask"].max() == 2


def test_sixteen_bit_masks_and_labels(root):
    save(root, "a", np.eye(8, 6).astype(np.uint16) * 65535)
    assert truth(root, MaskFiles("masks/{image_id}.png"))["mask"].sum() == 6
    save(root, "a", np.eye(8, 6).astype(np.uint16) * 700)
    assert truth(root, LabelImages("masks/{image_id}.png"))["instances"].max() == 700


def test_pictures_that_cannot_be_read(root):
    whole = (root / "images/a.png").read_bytes()
    cases = {"empty": b"", "half": whole[: len(whole) // 2 + 8], "page": b"<html>not found</html>"}
    for name, content in cases.items():
        (root / "images/a.png").write_bytes(content)
        with pytest.raises(ImageReadError, match=r"images/a\.png"):
            truth(root, MaskFiles("masks/{image_id}.png"))
        lenient, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
        try:
            with pytest.raises(ImageReadError, match=r"images/a\.png"):
                truth(root, MaskFiles("masks/{image_id}.png"))
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = lenient
        assert name in cases


def test_folders_and_ids(root):
    with pytest.raises(FileNotFoundError, match="has nothing that matches 'nothing/"):
        find_images(root, "nothing/*.png")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        find_images(root / "elsewhere", "*.png")
    for name in ("../a.png", "/etc/passwd", "x/../../a"):
        with pytest.raises(ValueError, match="is outside"):
            confined(root, name)
    (root / "images/sub").mkdir()
    Image.fromarray(np.eye(8, 6, dtype=np.uint8)).save(root / "images/sub/a.png")
    with pytest.raises(ValueError, match=r"two files have the id 'a'"):
        find_images(root, "images/**/*.png")
    with pytest.raises(FileNotFoundError, match="3 images have no masks; the first is 'a'"):
        InstanceFolders("nowhere/{image_id}/*.png").prepare(find_images(root, "images/[abc].png"), root)


def test_tables(root):
    table = find_images(root, "images/*.png")
    (root / "rle.csv").write_text("ImageId,EncodedPixels\na,1 3\nb,-1\n")
    with pytest.raises(ValueError, match=r"rle\.csv, column ImageId has no row for 1 of 3 images; the first is 'c'"):
        truth(root, RunLengths("rle.csv"))
    (root / "rle.csv").write_text("ImageId,EncodedPixels\na,1 300\nb,-1\nc,\n")
    with pytest.raises(ValueError, match=r"rle\.csv, image 'a', its row 1: .*exceeds the mask's 48"):
        truth(root, RunLengths("rle.csv"))
    (root / "facts.csv").write_text("id,age,site,object\na.png,1,x,p\nb.png,old,x,q\nb.png,old,x,r\nc.png,3,y,s\n")
    with pytest.raises(ValueError, match=r"facts\.csv has no column 'image_id', only \['id', 'age'"):
        join_columns(table, root / "facts.csv", "image_id")
    with pytest.warns(UserWarning, match=r"facts\.csv: columns object are ignored, .*: object of 'b' is 'q' and 'r'"):
        joined = join_columns(table, root / "facts.csv", "id")
    assert joined["site"].tolist() == ["x", "x", "y"]
    assert "object" not in joined  # says something about objects, not images
    with pytest.raises(ValueError, match=r"'age' of image 'b' is 'old', expected a number"):
        numbers(joined, ["age"])
    with pytest.raises(ValueError, match=r"data.features: \['weightt'\] are not in the table's columns"):
        numbers(joined, ["age", "weightt"])
    (root / "facts.csv").write_text("id,age\na,1\n")
    with pytest.raises(ValueError, match=r"no row for 2 of 3 images; the first is 'b'"):
        join_columns(table, root / "facts.csv", "id")


def test_a_lone_last_sample_is_dropped(root):
    """Batch norm cannot take a batch of one."""
    import albumentations

    data = ImageDataModule(
        str(root), "images/*.png", [MaskFiles("masks/{image_id}.png")], fold="all", batch_size=2, num_workers=0,
        augmentation=[albumentations.RandomCrop(4, 4)],
    )  # fmt: skip
    data.setup("fit")
    assert [len(batch["image_id"]) for batch in data.train_dataloader()] == [2]


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_a_small_file_of_many_pixels_is_refused_by_its_header(tmp_path, ending):
    """60,000 x 60,000 pixels would take 3.6 GB; the header alone says so."""
    path = tmp_path / f"bomb.{ending}"
    if ending == "png":

        def chunk(kind, content):
            return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

        header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
        body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(60_001))) + chunk(b"IEND", b"")
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    else:
        entries = [(256, 60_000), (257, 60_000), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 60_000)]
        entries.append((279, 2**31))
        tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
        path.write_bytes(struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(entries)) + tags + bytes(4))
    with pytest.raises(ImageReadError, match=f"bomb.{ending} is 60000 x 60000 pixels, more than reader.max_pixels"):
        ImageReader().read(SimpleNamespace(image_id="bomb", path=path))
    assert ImageReader(max_pixels=10**10).size(SimpleNamespace(image_id="bomb", path=path)) == (60_000, 60_000)
