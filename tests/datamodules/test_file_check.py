"""Faults of files are known when a fit is set up: all of them, before any training."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import ImageDataModule
from datamodules.decoder import Decoder
from datamodules.file_check import find_faults, refuse
from datamodules.readers import ImageReader
from datamodules.table import find_images, rows_of
from datamodules.targets import InstanceFolders, LabelImages, Labels, MaskFiles, RunLengths
from datamodules.targets.base import Target
from datamodules.windows import RandomWindows


@pytest.fixture
def root(tmp_path):
    """Six pictures of noise with masks."""
    random = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for name in "abcdef":
        Image.fromarray(random.integers(0, 256, (16, 12, 3), np.uint8)).save(tmp_path / f"images/{name}.png")
        save(tmp_path, name, (random.random((16, 12)) < 0.3) * 255)
    (tmp_path / "folds.csv").write_text("image_id,fold,group\n" + "".join(f"{n},{n in 'ab':d},{n}\n" for n in "abcdef"))
    return tmp_path


def save(root, name, values):
    Image.fromarray(np.asarray(values).astype(np.uint8)).save(root / f"masks/{name}.png")


def cut(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def data(root, target=None, **settings):
    targets = [target or MaskFiles("masks/{image_id}.png")]
    arguments = {"targets": targets, "folds": str(root / "folds.csv"), "fold": 1, "num_workers": 0} | settings
    return ImageDataModule(str(root), "images/*.png", **arguments)


def fault(root, *arguments, **settings):
    with pytest.raises((ValueError, OSError)) as raised:
        data(root, *arguments, **settings).setup("fit")
    return str(raised.value)


def three_values(root):
    save(root, "e", np.arange(192).reshape(16, 12) % 3)


def turned(root):
    save(root, "e", np.zeros((12, 16)))


def cut_mask(root):
    cut(root / "masks/e.png")


def cut_image(root):
    cut(root / "images/e.png")


def empty_image(root):
    (root / "images/e.png").write_bytes(b"")


def page(root):
    (root / "images/e.png").write_bytes(b"<html>not found</html>")


def jpeg_mask(root):
    """Compression has left values around 0 and 255."""
    picture = Image.open(root / "masks/e.png").copy()
    picture.save(root / "masks/e.png", format="JPEG", quality=70)


def no_mask(root):
    (root / "masks/e.png").unlink()


FAULTS = {
    three_values: r"mask \S*masks/e\.png has values \[0, 1, 2\], expected 0 and one of 1, 255, 65535; .* set `classes`",
    turned: r"mask \S*masks/e\.png is \(12, 16\), its image 'e' is \(16, 12\); .*EXIF",
    cut_mask: r"\S*masks/e\.png is damaged: .*; copy or download it again",
    cut_image: r"\S*images/e\.png is damaged: .*; copy or download it again",
    empty_image: r"\S*images/e\.png is empty",
    page: r"\S*images/e\.png is not a readable image \(it begins with b'<html>",
    no_mask: r"1 images have no mask; the first is 'e': file \S*masks/e\.png does not exist\. Check the target's",
    jpeg_mask: r"mask \S*masks/e\.png has values \[0, 1, 2, 3, .*, expected 0 and one of 1, 255, 65535",
}


@pytest.mark.parametrize("cache", ["none", "ram"])
@pytest.mark.parametrize("harm", FAULTS, ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("fold", [0, 1])
def test_a_fault_in_training_or_validation_is_known_at_setup(root, harm, cache, fold):
    harm(root)
    assert re.match(FAULTS[harm], fault(root, cache=cache, fold=fold))


@pytest.mark.parametrize("cache", ["none", "ram"])
def test_all_faults_are_listed(root, cache):
    three_values(root)
    cut(root / "images/b.png")
    save(root, "c", np.zeros((4, 4)))
    lines = fault(root, cache=cache).splitlines()
    assert lines[1] == "3 of 6 images have faults; the others:"
    for cause in ("masks/e.png has values", "images/b.png is damaged", "masks/c.png is (4, 4)"):
        assert sum(cause in line for line in lines) == 1
    assert len(lines) == 4


def test_many_faults_are_counted(root):
    table = find_images(root, "images/*.png")
    rows = rows_of(table) * 30
    for name in "abcdef":
        cut(root / f"images/{name}.png")
    faults = find_faults(rows, Decoder(ImageReader(), []), False, workers=2, show=False)
    with pytest.raises(ValueError, match=r"a\.png is damaged(.|\n)*180 of 180 images(.|\n)*and 160 more") as raised:
        refuse(faults, len(rows))
    assert len(str(raised.value).splitlines()) == 22


def test_class_numbers_out_of_range(root):
    save(root, "e", np.full((16, 12), 3))
    message = r"masks/e.png has class 3, expected 0 to 2 (or 255, ignored)"
    assert message in fault(root, MaskFiles("masks/{image_id}.png", classes=3, values=None))


@pytest.mark.parametrize("cache", ["none", "ram"])
def test_binary_masks_that_are_taken_for_class_numbers(root, cache):
    """255 is the ignored class number, so 0 and 255 would teach nothing."""
    text = fault(root, MaskFiles("masks/{image_id}.png", classes=2), cache=cache)
    assert re.match(r"mask \S*masks/[a-f]\.png has values \[0, 255\], and none of 6 masks has a class but 0", text)
    assert "remove `classes` of the target, or set `values: [255]`" in text
    data(root, MaskFiles("masks/{image_id}.png", values=[255]), cache=cache).setup("fit")
    save(root, "f", np.eye(16, 12))
    data(root, MaskFiles("masks/{image_id}.png", classes=2), cache=cache).setup("fit")


def test_every_image_without_a_mask_is_named(root):
    for name in "cdf":
        (root / f"masks/{name}.png").unlink()
    lines = fault(root).splitlines()
    assert lines[0].startswith("3 images have no mask; the first is 'c': file ")
    assert lines[1] == "  and 'd', 'f'"


def test_an_image_turned_by_exif_and_its_mask_that_is_not(root):
    tags = Image.Exif()
    tags[0x0112] = 6
    Image.open(root / "images/e.png").save(root / "images/e.png", exif=tags)
    assert "masks/e.png is (16, 12), its image 'e' is (12, 16); if one is rotated, check its EXIF" in fault(root)
    Image.open(root / "masks/e.png").save(root / "masks/e.png", exif=tags)
    data(root).setup("fit")


def test_run_lengths_past_the_image_and_labels_by_tables(root):
    rows = "".join(f"{name},1 {300 if name == 'e' else 5}\n" for name in "abcdef")
    (root / "rle.csv").write_text("ImageId,EncodedPixels\n" + rows)
    assert "rle.csv, image 'e', its row 1: " in fault(root, RunLengths("rle.csv"))
    (root / "labels.csv").write_text("image_id,kind\n" + "".join(f"{name},{name}\n" for name in "abcdef"))
    target = Labels("kind", "labels.csv", classes=list("abcd"))
    assert "labels.csv: image 'e' has class 'e', expected one of a, b, c, d" in fault(root, target)


@pytest.mark.parametrize("target", [LabelImages("masks/{image_id}.png"), InstanceFolders("objects/{image_id}/*.png")])
def test_objects_of_another_size(root, target):
    for name in "abcdef":
        (root / f"objects/{name}").mkdir(parents=True)
        Image.fromarray(np.eye(16, 12, dtype=np.uint8)).save(root / f"objects/{name}/1.png")
    turned(root)
    Image.fromarray(np.zeros((12, 16), np.uint8)).save(root / "objects/e/1.png")
    assert "is (12, 16), its image" in fault(root, target)


def test_sound_files_pass_and_leave_the_random_numbers_alone(root):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    data(root, num_workers=2).setup("fit")
    assert torch.equal(before, torch.get_rng_state())


def test_it_can_be_left_out(root):
    three_values(root)
    data(root, check_files=False).setup("fit")


class Scene(Target):
    """Truth that is read by windows; whole it would fill the memory."""

    windowed = True

    def read(self, row, size):
        assert getattr(row, "window", None) is not None, "the whole scene was read"
        return {}


def test_scenes_are_not_read_whole(root):
    data(root, Scene(), windows=RandomWindows(size=8)).setup("fit")
    with pytest.raises(AssertionError, match="the whole scene"):
        data(root, Scene()).setup("fit")


def test_a_table_alone_opens_no_image(root):
    """A million scans with labels from a table shall not wait for their headers."""
    (root / "labels.csv").write_text("image_id,kind\n" + "".join(f"{name},{name}\n" for name in "abcdef"))

    class Headless(ImageReader):
        def size(self, row):
            raise AssertionError("a header was read")

    data(root, Labels("kind", "labels.csv", classes=list("abcdef")), reader=Headless()).setup("fit")
