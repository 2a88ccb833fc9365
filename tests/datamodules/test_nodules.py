"""E02: a row per nodule and reader of LIDC-IDRI, cubes around them, and C3D that learns malignancy from YAML."""

import json

import numpy as np
import pytest
import torch

import cli
from datamodules import NoduleDataModule, VolumeDataModule
from datamodules.external import Lidc
from datamodules.readers import CubeReader, ImageReadError, VolumeReader
from datamodules.table import rows_of
from datamodules.targets import Labels
from evaluation.cross_validation import CrossValidation
from predictions.store import PredictionStore
from preprocessing.metaimage import write_metaimage
from preprocessing.series import voxel_of
from tests.datamodules.external.test_lidc import message
from tests.datamodules.test_volumes import write_slices

pytest.importorskip("pydicom", reason="pydicom is not installed")

# (slice, row, column) -> RAS: slices 2.5 mm apart, pixels of 0.8 x 0.7 mm.
AFFINE = np.array([[0, 0, -0.7, 30.0], [0, -0.8, 0, 20], [2.5, 0, 0, -300], [0, 0, 0, 1]])
SIZE = (24, 60, 64)


def outline(z, row, column, radius):
    """A square around a pixel."""
    corners = [
        (column + x, row + y) for x, y in ((-radius, -radius), (radius, -radius), (radius, radius), (-radius, radius))
    ]
    edges = "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in corners)
    return f"<roi><imageZposition>{z}</imageZposition><inclusion>TRUE</inclusion>{edges}</roi>"


def nodule(name, malignancy, slice_, row, column, radius=3):
    heights = [AFFINE[2, 3] + AFFINE[2, 0] * (slice_ + step) for step in (-1, 0, 1)]
    return name, malignancy, [outline(z, row, column, radius) for z in heights]


def tree(root, patients=3):
    """Scans with a bright ball where the nodule is, of four readers, one of whom saw a second one; and a tiny one."""
    for patient in range(1, patients + 1):
        place = (12, 30, 20 + 5 * patient)
        scan = np.full(SIZE, -800, np.int16)
        far = np.linalg.norm((np.indices(SIZE).T - place) * [2.5, 0.8, 0.7], axis=-1).T
        scan[far < 5] = 100 * patient
        sessions = [[nodule(f"n{reader}", 1 + (patient + reader) % 5, *place)] for reader in range(4)]
        sessions[3].append(nodule("second", 5, 20, 10, 10, radius=1))
        sessions[2].append(("tiny", None, [outline(AFFINE[2, 3], 5, 5, 0)]))
        folder = root / f"LIDC-IDRI-000{patient}/1.2/1.3"
        write_slices(folder, scan, [f"{number:02}.dcm" for number in range(SIZE[0])], AFFINE)
        (folder / "158.xml").write_text(message(*sessions))
    return root


@pytest.fixture(scope="module")
def lidc(tmp_path_factory):
    return tree(tmp_path_factory.mktemp("lidc"))


def test_a_row_per_nodule_and_reader(lidc):
    data = Lidc(str(lidc), rows="readings", weight=0.5)
    table = data.table()
    assert len(table) == 3 * 5  # the tiny one was judged by nobody
    assert table["image_id"].is_unique
    assert table["patient"].nunique() == 3
    first = table[table["patient"] == "LIDC-IDRI-0001"]
    assert first["malignancy"].tolist() == ["2", "3", "4", "5", "5"]
    assert first["reader"].tolist() == ["0", "1", "2", "3", "3"]
    assert first["nodule"].tolist()[-1] == "second"
    assert set(first["weight"]) == {0.5}
    for row in rows_of(first[first["nodule"] != "second"]):
        np.testing.assert_allclose(voxel_of(np.array(json.loads(row.centre)), AFFINE), [12, 30, 25], atol=1e-3)
        assert float(row.diameter) == pytest.approx(6 * 0.8)
    scans = Lidc(str(lidc)).table()
    assert len(scans) == 3
    assert float(scans["malignancy"][0]) == pytest.approx(19 / 5)


@pytest.mark.parametrize("settings", [{"axcodes": None}, {"axcodes": "RAS"}, {"axcodes": "PIL"}])
@pytest.mark.parametrize("spacing", [None, [1.0, 1.0, 1.0]])
def test_a_cube_has_the_nodule_in_its_middle(lidc, settings, spacing):
    reader = CubeReader(**settings, spacing=spacing, cube=[15, 17, 15])
    row = next(rows for rows in rows_of(Lidc(str(lidc), rows="readings").table()) if rows.patient == "LIDC-IDRI-0002")
    cube = reader.read(row)
    assert cube.shape == (15, 17, 15, 1)
    assert cube.dtype == np.int16
    size, affine = reader.grid(row)
    assert size == reader.size(row) == (15, 17, 15)
    np.testing.assert_allclose(voxel_of(np.array(json.loads(row.centre)), affine), [7, 8, 7], atol=1e-3)
    if spacing is not None:
        bright = np.argwhere(cube[..., 0] > -300)  # half of the step
        np.testing.assert_allclose(bright.mean(axis=0), [7, 8, 7], atol=0.3)
        assert len(bright) == pytest.approx(4 / 3 * np.pi * 5**3, rel=0.3)
        # as the whole volume, resampled, has it there
        whole = VolumeReader(**settings, spacing=spacing)
        (sides, onto), volume = whole.grid(row), whole.read(row)[..., 0]
        middle = np.rint(voxel_of(np.array(json.loads(row.centre)), onto)).astype(int)
        assert volume.shape == tuple(sides)
        assert cube[7, 8, 7, 0] == volume[tuple(middle)]


def test_a_cube_beyond_the_edge_goes_on_with_the_border(lidc):
    row = next(row for row in rows_of(Lidc(str(lidc), rows="readings").table()) if row.nodule == "second")
    cube = CubeReader(axcodes=None, spacing=[1, 1, 1], window=[-1200, 600]).read(row)
    assert cube.shape == (32, 32, 32, 1)
    assert cube.dtype == np.uint8
    assert set(np.unique(cube[:, :, :8])) == {round(400 / 1800 * 255)}  # the nodule is 7 mm from the first column


@pytest.mark.parametrize("centre", ["", "[1, 2]", "[1, 2, NaN]", "[900, 0, -280]"])
def test_rows_without_a_place_are_named(lidc, centre):
    row = rows_of(Lidc(str(lidc), rows="readings").table())[0]
    row.centre = centre
    with pytest.raises(ImageReadError, match=rf"image '{row.image_id}': centre is"):
        CubeReader().read(row)


def test_patients_stay_together(lidc):
    data = NoduleDataModule(str(lidc), "*/*/*/*.xml", [Labels("malignancy", kind="number", name="malignancy")])
    assert len(data.table()) == 15
    with pytest.warns(UserWarning, match="set cv.group: patient"):
        data.fold_table(CrossValidation(k=2, duplicates=False))


CONFIG = """
model:
  class_path: lightning_modules.ClassificationModule
  init_args:
    network: {class_path: networks.C3D, init_args: {outputs: {malignancy: 1}}}
    outputs: [malignancy]
    activations: {malignancy: none}
    loss: l1(malignancy)
    mean: 0.5
    std: 0.25
    augmentation: [{class_path: augmentations.CubeIsometries}]
    optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.001, momentum: 0.9, nesterov: true}}
data:
  class_path: datamodules.NoduleDataModule
  init_args:
    root: ROOT
    images: "*/*/*/*.xml"
    reader: {class_path: datamodules.readers.CubeReader, init_args: {spacing: [1, 1, 1], window: [-1200, 600]}}
    targets:
      - {class_path: datamodules.targets.Labels, init_args: {columns: malignancy, kind: number, name: malignancy}}
    batch_size: 2
    eval_batch_size: 5
    num_workers: 0
    cache: disk
cv: {k: 3, group: patient, duplicates: false}
competition:
  metric: {class_path: evaluation.metrics.MeanAbsoluteError, init_args: {output: malignancy}}
trainer: {accelerator: cpu, max_steps: 1, enable_progress_bar: false, enable_model_summary: false, logger: false}
"""


def test_c3d_learns_from_yaml(lidc, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lidc.yaml").write_text(CONFIG.replace("ROOT", str(lidc)))
    assert cli.main(["folds", "--config", "lidc.yaml"]) == 0
    assert cli.main(["fit", "--config", "lidc.yaml"]) == 0
    assert cli.main(["predict", "runs/lidc/fold0", "--trainer.enable_progress_bar", "false"]) == 0
    store = PredictionStore.open("runs/lidc/fold0/predictions/val")
    assert len(store.ids()) == 5
    assert all(store.read(name)["malignancy"].shape == (1,) for name in store.ids())


def test_beside_cubes_of_a_competition(lidc, tmp_path):
    """As external data: trained on with each reader's own number, never validated."""
    (tmp_path / "cubes").mkdir()
    for number in range(5):
        write_metaimage(tmp_path / f"cubes/{number}.mha", np.full((32, 32, 32), 50 * number, np.int16), np.eye(4))
    (tmp_path / "labels.csv").write_text("image_id,malignancy\n" + "".join(f"{n},0\n" for n in range(5)))
    module = VolumeDataModule(
        str(tmp_path),
        "cubes/*.mha",
        targets=[Labels("malignancy", csv="labels.csv", kind="number", name="malignancy")],
        external=[Lidc(str(lidc), rows="readings", weight=0.5)],
        fold="all",
        batch_size=4,
        num_workers=0,
    )
    module.setup("fit")
    batches = list(module.train_dataloader())
    assert all(batch["image"].shape == (4, 1, 32, 32, 32) for batch in batches)
    labels = torch.cat([batch["malignancy"][:, 0] for batch in batches])
    weights = torch.cat([batch["weight"] for batch in batches])
    assert sorted(labels[weights == 0.5].tolist()) == sorted(
        Lidc(str(lidc), rows="readings").table()["malignancy"].astype(float)
    )
    assert labels[weights == 1].tolist() == [0] * 5
