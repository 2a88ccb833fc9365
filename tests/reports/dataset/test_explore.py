"""The report of a small dataset with every kind of trouble in it."""

import os
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

import cli
from datamodules import ImageDataModule
from datamodules.quickstart import Nuclei
from datamodules.readers import ImageReader
from datamodules.targets import Boxes, InstanceFolders, Labels, MaskFiles, RunLengths, TouchingBorders
from evaluation.colours import colour_of
from evaluation.cross_validation import CrossValidation
from evaluation.folds import make_folds
from reports.dataset.explore import explore


def nuclei(root: Path, **options) -> ImageDataModule:
    instances = InstanceFolders("stage1_train/{image_id}/masks/*.png")
    return ImageDataModule(
        root=str(root),
        images="stage1_train/*/images/*.png",
        test_images="stage1_test/*/images/*.png",
        targets=[instances, TouchingBorders()],
        test_targets=[RunLengths("stage1_solution.csv", instances=True)],
        **options,
    )


def copy_of(root: Path, image_id: str, new: str, change=None) -> None:
    """A training image under another id, with its masks; its pixels go through `change`."""
    shutil.copytree(root / "stage1_train" / image_id, root / "stage1_train" / new)
    folder = root / "stage1_train" / new / "images"
    picture = folder / f"{image_id}.png"
    if change is None:
        picture.rename(folder / f"{new}.png")
        return
    changed = change(cv2.imread(str(picture), cv2.IMREAD_UNCHANGED))
    cv2.imwrite(str(folder / f"{new}.png"), changed, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    picture.unlink()


def noisy(picture: np.ndarray) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 6, picture.shape[:2])[..., None]
    return np.concatenate([np.clip(picture[..., :3] + noise, 0, 255).astype(np.uint8), picture[..., 3:]], axis=2)


class Page(HTMLParser):
    """Addresses in a page, and whether its elements are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: set[str] = set()
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        for name, value in attributes:
            if name in ("src", "href", "srcset"):
                self.addresses.append(value)
            if name == "id":
                self.ids.add(value)
        if tag not in ("meta", "img", "br", "source"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def troubled(tmp_path_factory):
    """A competition with copies of each kind, a broken image, an image without masks, and uneven folds; its report."""
    root = tmp_path_factory.mktemp("explore") / "data"
    Nuclei(train=14, test=6).write(root)
    ids = sorted(os.listdir(root / "stage1_train"))
    copy_of(root, ids[0], "bytes")
    copy_of(root, ids[1], "pixels", lambda picture: picture)
    copy_of(root, ids[2], "near", noisy)
    copy_of(root, ids[3], "turned", lambda picture: np.ascontiguousarray(np.rot90(picture)))
    shutil.rmtree(root / "stage1_train" / "turned" / "masks")
    (root / "stage1_train" / "turned" / "masks").mkdir()
    broken = root / "stage1_train" / ids[4] / "images" / f"{ids[4]}.png"
    broken.write_bytes(broken.read_bytes()[:2000])
    shutil.rmtree(root / "stage1_train" / ids[5] / "masks")
    test_id = sorted(os.listdir(root / "stage1_test"))[0]
    leaked = root / "stage1_test" / test_id / "images" / f"{test_id}.png"
    shutil.copy(root / "stage1_train" / ids[6] / "images" / f"{ids[6]}.png", leaked)
    pd.DataFrame({"image_id": sorted(os.listdir(root / "stage1_train")), "fold": 0, "group": ""}).assign(
        fold=lambda table: (table["image_id"] == "near").astype(int), group=lambda table: table["image_id"]
    ).to_csv(root / "folds.csv", index=False)
    data = nuclei(root, folds=str(root / "folds.csv"))
    found = explore(data, root.parent / "report", "troubled <set>", processes=2, show=False)
    return data, ids, found, found.path.read_text()


def test_the_page_is_whole_and_needs_nothing_from_outside(troubled):
    page = Page(troubled[3])
    assert page.open == []
    assert all(address.startswith(("data:image/png;base64,", "#")) for address in page.addresses)
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= page.ids
    assert "url(" not in troubled[3]
    assert "@import" not in troubled[3]
    assert "troubled &lt;set&gt;" in troubled[3]


def test_pictures_lie_beside_the_page(troubled):
    folder = troubled[2].path.parent
    names = {file.name for file in folder.glob("*.png")}
    assert {"samples_train.png", "samples_test.png", "sizes.png", "intensity_0.png", "areas_instances.png"} <= names
    assert all(cv2.imread(str(folder / name)) is not None for name in names)
    assert not list(folder.glob("*.tmp"))


def test_a_broken_image_and_missing_masks_are_named_and_the_report_goes_on(troubled):
    _, ids, found, text = troubled
    images = pd.read_csv(found.path.parent / "images.csv", dtype={"image_id": str}, keep_default_na=False)
    assert len(images) == 18 + 6
    wrong = images[images["error"] != ""]
    assert wrong["image_id"].tolist() == [ids[4]]
    assert "damaged" in wrong["error"].iloc[0]
    unknown = images[images["target_error"] != ""]
    assert unknown["image_id"].tolist() == [ids[5]]
    assert "no masks" in unknown["target_error"].iloc[0]
    problems = [finding.text for finding in found.report.findings if finding.level == "problem"]
    assert any(problem.startswith("1 image cannot be read") for problem in problems)
    assert any(problem.startswith("1 image without a readable target") for problem in problems)
    assert ids[4] in text


def groups(found) -> pd.DataFrame:
    return pd.read_csv(found.path.parent / "duplicates.csv", dtype=str, keep_default_na=False).set_index("image_id")


def test_copies_are_grouped_by_their_strongest_evidence(troubled):
    _, ids, found, _ = troubled
    table = groups(found)
    for index, (name, kind) in enumerate([("bytes", "bytes"), ("pixels", "pixels"), ("near", "correlation")]):
        assert table.loc[name, "duplicate_group"] == table.loc[ids[index], "duplicate_group"]
        assert table.loc[[name, ids[index]], "kind"].tolist() == [kind, kind]
    assert table.loc["turned", "duplicate_group"] == table.loc[ids[3], "duplicate_group"]
    assert table.loc["turned", "kind"] == "hash"
    alone = table[table["kind"] == ""]
    assert (alone.index == alone["duplicate_group"]).all()
    assert len(table) - len(alone) == 10  # four pairs, and the one between train and test


def test_leaks_between_splits_and_folds_are_found(troubled):
    texts = [finding.text for finding in troubled[2].report.findings]
    assert any(text.startswith("1 test image equal to training images") for text in texts)
    split = next(text for text in texts if "split between folds" in text)
    assert split.startswith("1 group")


def test_the_duplicates_table_serves_the_folds(troubled, tmp_path):
    data, ids, found, _ = troubled
    root = Path(data.root)
    shutil.copy(found.path.parent / "duplicates.csv", root / "duplicates.csv")
    again = nuclei(root, metadata="duplicates.csv")
    folds = make_folds(again.table(), CrossValidation(k=3, group="duplicate_group", duplicates=False))
    fold = folds.set_index("image_id")["fold"]
    assert fold["near"] == fold[ids[2]]
    assert fold["turned"] == fold[ids[3]]
    assert fold.nunique() == 3


def test_object_counts_are_those_of_the_files(troubled):
    data, ids, found, text = troubled
    root = Path(data.root)
    images = pd.read_csv(found.path.parent / "images.csv").set_index("image_id")
    for image_id in ids[6:10]:
        assert images.loc[image_id, "instances_objects"] == len(
            list((root / "stage1_train" / image_id / "masks").iterdir())
        )
    body = next(fact for fact in found.facts if fact.image_id == ids[7]).target["body"]
    masks = [cv2.imread(str(file), 0) > 0 for file in (root / "stage1_train" / ids[7] / "masks").iterdir()]
    assert body.derived
    assert body.pixels["body"] == np.any(masks, axis=0).sum()
    assert "1 train image without any object" in text  # the turned copy


def test_image_facts_equal_numpy(troubled):
    data, ids, found, _ = troubled
    fact = next(fact for fact in found.facts if fact.image_id == ids[8])
    path = Path(data.root) / "stage1_train" / ids[8] / "images" / f"{ids[8]}.png"
    picture = cv2.imread(str(path))[..., ::-1]
    assert fact.size == picture.shape[:2]
    assert fact.file_bytes == path.stat().st_size
    assert fact.mean == pytest.approx(picture.mean((0, 1)))
    assert fact.std == pytest.approx(picture.std((0, 1)))
    expected = np.percentile(picture.reshape(-1, 3), (0, 1, 50, 99, 100), axis=0)
    assert np.abs(fact.percentiles - expected).max() <= 1  # bytes are not interpolated


# --- other kinds of data ---------------------------------------------------------------------------------------------


def test_labels_sixteen_bits_and_four_channels(tmp_path):
    random = np.random.default_rng(0)
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    lines = ["image_id,Target"]
    for number in range(40):
        picture = random.integers(0, 4000, (30, 40, 4)).astype(np.uint16)
        cv2.imwrite(str(tmp_path / ("test" if number >= 30 else "train") / f"{number:03d}.tif"), picture)
        lines.append(f"{number:03d},{'cat dog' if number % 3 else 'dog'}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))

    class Sixteen(ImageReader):
        def read(self, row):
            return cv2.imread(row.path, cv2.IMREAD_UNCHANGED)

    train, test = (Labels("Target", csv="labels.csv", kind="multi", classes=["cat", "dog", "horse"]) for _ in range(2))
    data = ImageDataModule(
        str(tmp_path), "train/*.tif", [train], test_images="test/*.tif", test_targets=[test], reader=Sixteen()
    )
    found = explore(data, tmp_path / "report", "labels", processes=1, show=False)
    text = found.path.read_text()
    assert "1.667 labels per image in train (max 2, none on 0)" in text
    assert "1 class without a training image: horse" in text
    assert "cat, dog" in text
    assert (tmp_path / "report" / "together_label.png").is_file()
    assert found.facts[0].dtype == "uint16"
    assert found.facts[0].channels == 4


def test_gray_images_of_one_colour_and_boxes_of_classes(tmp_path):
    """What a user sees of gray scans: no leak of black images, the channels, and boxes by name."""
    (tmp_path / "train").mkdir()
    (tmp_path / "test").mkdir()
    lines = ["image_id,xmin,ymin,xmax,ymax,kind"]
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 200, (32, 32), np.uint8) * (number not in (1, 2, 11))
        split = "test" if number > 8 else "train"
        cv2.imwrite(str(tmp_path / split / f"{number:02d}.png"), np.repeat(pixels[..., None], 3, axis=2))
        if split == "train":
            lines.append(f"{number:02d},4,4,20,20,{'node' if number % 2 else 'mass'}")
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    boxes = Boxes("boxes.csv", "csv", classes=["mass", "node"], class_column="kind")
    data = ImageDataModule(str(tmp_path), "train/*.png", [boxes], test_images="test/*.png")
    found = explore(data, tmp_path / "report", "scans", processes=1, show=False)
    texts = [finding.text for finding in found.report.findings]
    assert "R = G = B in all images: `reader.channels: gray` reads one channel instead of three." in texts
    assert any(text.startswith("3 images with a single colour (1 of them in test), first `01`") for text in texts)
    assert not [text for text in texts if "equal to training images" in text or "groups of equal" in text]
    text = found.path.read_text()
    for name, count in (("mass", 5), ("node", 4)):
        assert f'<td>{name}</td><td class="number">{count}</td>' in text
        assert re.search(rf"#[0-9a-f]{{6}}\"></i>{name}</span>", text)
    samples = cv2.imread(str(tmp_path / "report" / "samples_train.png"))[..., ::-1]
    for number in range(2):
        assert (samples == colour_of(number)).all(-1).any()
    assert "pixel value, all channels" not in texts
    assert len(list((tmp_path / "report").glob("intensity_*.png"))) == 1


def test_volumes_show_their_middle_slice(tmp_path):
    (tmp_path / "scans").mkdir()
    for number in range(3):
        volume = np.random.default_rng(number).normal(0, 300, (7, 24, 20, 1)).astype(np.int16)
        np.save(tmp_path / "scans" / f"{number}.npy", volume)

    class Volumes(ImageReader):
        def read(self, row):
            return np.load(row.path)

    data = ImageDataModule(str(tmp_path), "scans/*.npy", [], reader=Volumes())
    found = explore(data, tmp_path / "report", "volumes", processes=1, show=False)
    assert found.facts[0].size == (7, 24, 20)
    assert "middle slice, stretched" in found.path.read_text()
    assert not [finding for finding in found.report.findings if finding.level == "problem"]


def test_every_image_broken_is_still_a_report(tmp_path):
    (tmp_path / "a").mkdir()
    for number in range(3):
        (tmp_path / "a" / f"{number}.png").write_bytes(b"nothing")
    data = ImageDataModule(str(tmp_path), "a/*.png", [MaskFiles("m/{image_id}.png")])
    found = explore(data, tmp_path / "report", "broken", processes=1, show=False)
    texts = [finding.text for finding in found.report.findings]
    assert any(text.startswith("3 images cannot be read") for text in texts)
    assert any(text.startswith("No targets. MaskFiles") for text in texts)


def test_a_limit_is_stated(troubled, tmp_path):
    found = explore(troubled[0], tmp_path, "few", limit=5, processes=1, samples=3, show=False)
    assert len(found.facts) == 10
    assert "Only 5 train and 5 test images, evenly spread, were read" in found.path.read_text()


# --- the verbs -------------------------------------------------------------------------------------------------------


@pytest.fixture
def config(troubled, tmp_path, monkeypatch):
    """A config file of the troubled data, in an empty working folder."""
    monkeypatch.chdir(tmp_path)
    root = troubled[0].root
    instances = "datamodules.targets.InstanceFolders"
    content = {
        "data": {
            "class_path": "datamodules.ImageDataModule",
            "init_args": {
                "root": root,
                "images": "stage1_train/*/images/*.png",
                "test_images": "stage1_test/*/images/*.png",
                "targets": [{"class_path": instances, "init_args": {"pattern": "stage1_train/{image_id}/masks/*.png"}}],
            },
        },
        "competition": {"metric": {"class_path": "evaluation.metrics.InstanceAveragePrecision"}, "postprocess": []},
    }
    (tmp_path / "nuclei.yaml").write_text(yaml.safe_dump(content))
    return "nuclei.yaml"


def test_the_explore_verb(config, capsys):
    cli.main(["explore", "--config", config, "--limit", "4", "--processes", "1", "--samples", "2"])
    out = capsys.readouterr().out
    assert "report: runs/nuclei/explore/report.html" in out
    assert Path("runs/nuclei/explore/images.csv").is_file()
    assert not re.search(r"<\w+>", out)


def test_labels_are_compared_without_config_or_images(tmp_path, capsys):
    random = np.random.default_rng(0)
    for name, share in (("train", 0.6), ("test", 0.3)):
        labels = ["0 25" if there else "25" for there in random.random(800) < share]
        pd.DataFrame({"Id": range(800), "Target": labels}).to_csv(tmp_path / f"{name}.csv", index=False)
    flags = ["--labels", str(tmp_path / "train.csv"), "--reference", str(tmp_path / "test.csv")]
    cli.main(["explore", *flags, "--label_column", "Target", "--separator", " ", "--output", str(tmp_path / "out")])
    out = capsys.readouterr().out
    assert re.search(r"class 0: .* ratio 0\.\d\d", out)
    assert re.search(r"labels per sample: 1\.\d{3} \(max 2\)", out)
    assert pd.read_csv(tmp_path / "out" / "shift.csv").set_index("what").loc["class 0", "shifted"]
    assert Page((tmp_path / "out" / "report.html").read_text()).open == []
    with pytest.raises(SystemExit, match="no column 'Nothing'"):
        cli.main(["explore", *flags, "--label_column", "Nothing"])


def test_the_suggest_verb_from_stores_to_the_next_round(config, troubled, tmp_path, capsys):
    from predictions.store import PredictionStore

    root = Path(troubled[0].root)
    ids = sorted(os.listdir(root / "stage1_test"))
    random = np.random.default_rng(0)
    for model in "ab":
        store = PredictionStore(tmp_path / model)
        store.begin(ids, "x")
        for number, image_id in enumerate(ids):
            spread = 0.45 if number in (1, 4, 5) else 0.01
            store.write(image_id, {"body": np.clip(0.5 + random.normal(0, spread, (1, 20, 20)), 0, 1)})
        store.finish()
    stores = ["--predictions", f"[{tmp_path / 'a'}, {tmp_path / 'b'}]", "--rounds", str(tmp_path / "rounds.csv")]
    cli.main(["suggest", "--config", config, *stores, "--n_uncertain", "3", "--n_pick", "2"])
    todo = pd.read_csv("runs/nuclei/todo.csv", dtype={"image_id": str})
    assert set(todo["image_id"]) <= {ids[1], ids[4], ids[5]}
    assert todo["rank"].tolist() == [1, 2]
    assert all(Path(path).is_file() for path in todo["path"])

    (tmp_path / "labels").mkdir()
    chosen = todo["image_id"].iloc[0]
    size = cv2.imread(todo["path"].iloc[0]).shape[:2]
    cv2.imwrite(str(tmp_path / "labels" / f"{chosen}.png"), np.zeros(size, np.uint8))
    cli.main(["suggest", "--config", config, *stores, "--import", str(tmp_path / "labels"), "--round", "1"])
    rounds = pd.read_csv(tmp_path / "rounds.csv", dtype=str).set_index("image_id")["round"]
    assert rounds[chosen] == "1"
    assert rounds["bytes"] == "0"
    cli.main(["suggest", "--config", config, *stores, "--n_uncertain", "3", "--n_pick", "3"])
    assert chosen not in set(pd.read_csv("runs/nuclei/todo.csv", dtype={"image_id": str})["image_id"])
    with pytest.raises(SystemExit, match="prediction stores, expected two or more"):
        cli.main(["suggest", "--config", config, "--predictions", f"[{tmp_path / 'a'}]"])
