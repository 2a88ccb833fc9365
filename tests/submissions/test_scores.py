"""The score of a CSV of every competition, against a scorer of its own that knows nothing but the two files.

Metric and format are those of the competition's config; what decodes and scores here shares no code with them.
"""

import base64
import csv
import zlib
from pathlib import Path

import numpy as np
import pytest
import yaml
from jsonargparse import ArgumentParser
from scipy.spatial.distance import directed_hausdorff
from sklearn.metrics import cohen_kappa_score, f1_score, fbeta_score, log_loss

from submissions.competition import Competition

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SIZE = 30, 40
IOUS = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]

# --- what networks might have found ----------------------------------------------------------------------------------


def objects(random):
    """True and predicted ids `(H, W)`: shifted, missed, invented; sometimes nothing."""
    true, found = np.zeros((2, *SIZE), np.int32)
    share = random.choice([0, 0.5, 0.9])
    for number, (row, column) in enumerate((r, c) for r in (1, 11, 21) for c in (1, 14, 27)):
        if random.random() < share:
            height, width = random.integers(4, 8, 2)
            true[row : row + height, column : column + width] = number + 1
            down, right = random.integers(0, 3, 2)
            if random.random() < 0.8:
                found[row + down : row + down + height, column + right : column + right + width] = number + 1
        elif random.random() < 0.15:
            found[row : row + 5, column : column + 5] = number + 1
    return {"instances": found}, {"instances": true}


def masks(channels):
    def made(random):
        pairs = [objects(random) for _ in range(channels)]
        return tuple({"mask": np.stack([pair[part]["instances"] > 0 for pair in pairs])} for part in (0, 1))

    return made


def labels(classes):
    def made(random):
        true = random.random(classes) < 0.4
        return {"label": true ^ (random.random(classes) < 0.2)}, {"label": true}

    return made


def probabilities(classes, exclusive):
    def made(random):
        true = np.eye(classes)[random.integers(classes)] if exclusive else random.random(classes) < 0.4
        found = np.clip(0.1 + 0.5 * true + 0.4 * random.random(classes), 0, 1)
        return {"label": (found / found.sum() if exclusive else found).astype(np.float32)}, {"label": true * 1.0}

    return made


def grades(random):
    true = random.integers(5)
    return {"grade": np.array(np.clip(true + random.integers(-1, 2), 0, 4))}, {"grade": np.array(true)}


def boxes(classes):
    def made(random):
        true, found = [], []
        for x, y in ((1, 1), (14, 2), (2, 15), (20, 16)):
            if random.random() < 0.5:
                label = random.integers(classes)
                true.append([x, y, x + 10, y + 9, 1, label])
                shift = random.integers(0, 4, 2)
                found.append([*(shift + (x, y)), *(shift + (x + 10, y + 9)), random.random(), label])
            elif random.random() < 0.3:
                found.append([x, y, x + 8, y + 8, random.random(), random.integers(classes)])
        return tuple({"boxes": np.array(rows, np.float32).reshape(-1, 6)} for rows in (found, true))

    return made


def cells(random):
    found, true = (part["instances"] for part in objects(random))
    scores = [np.round(random.random((9, 19)), 3), np.eye(19)[random.integers(0, 3, 9)]]
    return tuple({"instances": ids, "scores": own} for ids, own in zip((found, true), scores, strict=True))


# --- scorers that see two files --------------------------------------------------------------------------------------


def rows_of(path):
    with open(path, newline="") as handle:
        return list(csv.reader(handle))[1:]


def decoded(text, size=SIZE, row_major=False, relative=False, empty=""):
    """A mask `(H, W)` from run lengths, pixel by pixel."""
    flat, place = np.zeros(size[0] * size[1], bool), 0
    numbers = [] if text == empty else [int(word) for word in text.split()]
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        first = place + start if relative else start - 1
        for pixel in range(first, first + length):
            flat[pixel] = True
        place = first + length
    return flat.reshape(size) if row_major else flat.reshape(size[::-1]).T


def dice(one, other):
    total = one.sum() + other.sum()
    return 2 * (one & other).sum() / total if total else 1.0


def mean_dice(**how):
    def score(found, true):
        pairs = zip(rows_of(found), rows_of(true), strict=True)
        return np.mean([dice(decoded(f[-1], **how), decoded(t[-1], **how)) for f, t in pairs])

    return score


def grouped(rows):
    result = {}
    for row in rows:
        result.setdefault(row[0], []).append(row)
    return result


def iou_table(one, other):
    return np.array([[(a & b).sum() / (a | b).sum() for b in other] for a in one]).reshape(len(one), len(other))


def instances_by(formula):
    """Mean over images and thresholds of a formula of TP, FP, FN."""

    def score(found, true):
        scores, predicted = [], grouped(rows_of(found))
        for image_id, rows in grouped(rows_of(true)).items():
            masks_ = [[decoded(text) for _, text in part if text] for part in (rows, predicted[image_id])]
            table, (count, guesses) = np.round(iou_table(*masks_), 9), map(len, masks_)
            for limit in IOUS:
                hits = int((table > round(limit, 9)).sum())
                scores.append(formula(hits, guesses - hits, count - hits))
        return np.mean(scores)

    return score


def precision(tp, fp, fn):
    return tp / (tp + fp + fn) if tp + fp + fn else 1.0


def f2(tp, fp, fn):
    return 5 * tp / (5 * tp + 4 * fn + fp) if tp + fp + fn else 1.0


def salt(found, true):
    scores = []
    for one, other in zip(rows_of(found), rows_of(true), strict=True):
        a, b = decoded(one[1]), decoded(other[1])
        overlap = round((a & b).sum() / (a | b).sum(), 9) if (a | b).any() else 1.0
        scores.append(np.mean([overlap > round(limit, 9) for limit in IOUS]))
    return np.mean(scores)


def sets(rows, names):
    return np.array([[name in row[1].split(" ") for name in names] for row in rows])


def planet(found, true):
    names = sorted({name for row in [*rows_of(found), *rows_of(true)] for name in row[1].split()})
    return fbeta_score(sets(rows_of(true), names), sets(rows_of(found), names), beta=2, average="samples")


def protein_atlas(found, true):
    names = [str(number) for number in range(28)]
    return f1_score(sets(rows_of(true), names), sets(rows_of(found), names), average="macro", zero_division=0)


def kappa(found, true):
    return cohen_kappa_score(*([int(row[1]) for row in rows_of(path)] for path in (true, found)), weights="quadratic")


def cervical(found, true):
    truth, guess = (np.array([row[1:] for row in rows_of(path)], float) for path in (true, found))
    return log_loss(truth.argmax(1), guess / guess.sum(1, keepdims=True))


def haemorrhage(found, true):
    truth, guess = (np.array([row[1] for row in rows_of(path)], float) for path in (true, found))
    weights = [2 if row[0].endswith("_any") else 1 for row in rows_of(true)]
    return log_loss(truth, guess, sample_weight=weights)


def stomach(found, true):
    """0.4 mean Dice of slices (both empty: 0), 0.6 mean of 1 - Hausdorff distance over the diagonal of the volume."""
    dices, stacks = [], {}
    for one, other in zip(rows_of(found), rows_of(true), strict=True):
        a, b = decoded(one[2], row_major=True), decoded(other[2], row_major=True)
        dices.append(dice(a, b) if (a | b).any() else 0.0)
        stacks.setdefault((one[0].split("_slice")[0], one[1]), []).append((a, b))
    near = []
    for stack in stacks.values():
        a, b = (np.argwhere(np.stack(planes)) for planes in zip(*stack, strict=True))
        diagonal = np.sqrt(len(stack) ** 2 + SIZE[0] ** 2 + SIZE[1] ** 2)
        if len(a) and len(b):
            near.append(1 - max(directed_hausdorff(a, b)[0], directed_hausdorff(b, a)[0]) / diagonal)
        else:
            near.append(float(len(a) == len(b)))
    return 0.4 * np.mean(dices) + 0.6 * np.mean(near)


def satellites(found, true):
    """Mean over classes of the Jaccard index of areas; all images have one grid, so areas add up."""
    from shapely import wkt

    shared, joined = {}, {}
    for one, other in zip(rows_of(found), rows_of(true), strict=True):
        a, b = wkt.loads(one[2]), wkt.loads(other[2])
        shared[one[1]] = shared.get(one[1], 0) + a.intersection(b).area
        joined[one[1]] = joined.get(one[1], 0) + a.union(b).area
    return np.mean([shared[name] / joined[name] for name in shared])


def buildings(found, true):
    from shapely import wkt

    counts, predicted = {}, grouped(rows_of(found))
    for image_id, rows in grouped(rows_of(true)).items():
        wanted, guesses = (
            [wkt.loads(row[2]) for row in part if row[2] != "POLYGON EMPTY"] for part in (rows, predicted[image_id])
        )
        wanted = [one for one in wanted if one.area >= 20]
        hits = sum(any(g.intersection(w).area / g.union(w).area > 0.5 for g in guesses) for w in wanted)
        area = counts.setdefault(image_id[:5], [0, 0, 0])
        for place, number in enumerate((hits, len(guesses) - hits, len(wanted) - hits)):
            area[place] += number
    return np.mean([2 * tp / (2 * tp + fp + fn) for tp, fp, fn in counts.values()])


def box_iou(a, b):
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(wide, 0) * max(high, 0)
    return shared / (sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - shared)


def words_of(text, count):
    words = text.split()
    return [words[start : start + count] for start in range(0, len(words), count)]


def pneumonia(found, true):
    scores = []
    for one, other in zip(rows_of(found), rows_of(true), strict=True):
        guesses, wanted = ([[float(word) for word in words] for words in words_of(row[1], 5)] for row in (one, other))
        if not wanted:
            scores += [0.0] * bool(guesses)
            continue
        places = [[[x, y, x + w, y + h] for _, x, y, w, h in sorted(part, reverse=True)] for part in (guesses, wanted)]
        own = []
        for limit in (0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75):
            free, hits = list(places[1]), 0
            for guess in places[0]:
                best = max(free, key=lambda box: box_iou(guess, box), default=None)
                if best is not None and round(box_iou(guess, best), 9) > limit:
                    free.remove(best)
                    hits += 1
            own.append(hits / (len(guesses) + len(wanted) - hits))
        scores.append(np.mean(own))
    return np.mean(scores)


def average_precision(guesses, wanted, overlap, limit):
    """Area under the envelope of precision over recall; `guesses` (score, image, object), `wanted` image -> objects."""
    total, curve, taken = sum(map(len, wanted.values())), [], set()
    for _, image_id, one in sorted(guesses, key=lambda guess: -guess[0]):
        values = [overlap(one, other) for other in wanted.get(image_id, [])]
        place = int(np.argmax(values)) if values else -1
        hit = place >= 0 and values[place] > limit and (image_id, place) not in taken
        taken |= {(image_id, place)} if hit else set()
        curve.append(hit)
    hits = np.cumsum(curve)
    precisions = hits / np.arange(1, len(hits) + 1)
    return sum(precisions[n:].max() for n in np.flatnonzero(curve)) / total


def chest(found, true):
    """VinBigData: mean over the classes of the truth of AP at IoU 0.4; an image without boxes says class 14."""
    guesses, wanted = {}, {}
    for path, target in ((found, guesses), (true, wanted)):
        for image_id, text in rows_of(path):
            for name, score, *box in words_of(text, 6):
                one = [float(word) for word in box]
                if target is guesses:
                    target.setdefault(name, []).append((float(score), image_id, one))
                else:
                    target.setdefault(name, {}).setdefault(image_id, []).append(one)
    return np.mean([average_precision(guesses.get(name, []), wanted[name], box_iou, 0.4) for name in wanted])


def single_cells(found, true):
    """Mean over the classes of the truth of AP at a mask IoU of 0.6 or more, masks decoded by COCO's own library."""
    coco = pytest.importorskip("pycocotools.mask")
    guesses, wanted = {}, {}
    for path, target in ((found, guesses), (true, wanted)):
        for image_id, width, height, text in rows_of(path):
            for name, score, mask in words_of(text, 3):
                counts = zlib.decompress(base64.b64decode(mask))
                one = coco.decode([{"size": [int(height), int(width)], "counts": counts}])[..., 0] > 0
                if target is guesses:
                    target.setdefault(name, []).append((float(score), image_id, one))
                elif float(score) == 1:
                    target.setdefault(name, {}).setdefault(image_id, []).append(one)

    def overlap(a, b):
        return (a & b).sum() / (a | b).sum()

    return np.mean([average_precision(guesses[name], wanted[name], overlap, 0.6 - 1e-9) for name in wanted])


# --- the competitions ------------------------------------------------------------------------------------------------

OBJECTS = {"class_path": "submissions.Boxes"}
WITHOUT_CONFIG = {
    "rsna_pneumonia": {
        "metric": {"class_path": "evaluation.metrics.BoxPrecision"},
        "submission": OBJECTS | {"init_args": {"layout": "xywh", "id_column": "patientId"}},
    },
    "vinbigdata": {
        "metric": {
            "class_path": "evaluation.metrics.BoxAveragePrecision",
            "init_args": {"classes": 15, "threshold": 0.4},
        },
        "submission": OBJECTS | {"init_args": {"classes": 15, "empty": "14 1 0 0 1 1"}},
    },
    "hpa_2021": {
        "metric": {"class_path": "evaluation.metrics.MaskAveragePrecision"},
        "submission": {"class_path": "submissions.Cells", "init_args": {"min_score": 0.001}},
    },
}
CASES = {
    "dsb2018": (objects, instances_by(precision)),
    "siim_pneumothorax": (masks(1), mean_dice(relative=True, empty="-1")),
    "hpa_2018": (labels(28), protein_atlas),
    "hpa_2021": (cells, single_cells),
    "tgs_salt": (masks(1), salt),
    "airbus_ships": (objects, instances_by(f2)),
    "planet_amazon": (labels(17), planet),
    "clouds": (masks(4), mean_dice(size=(350, 525))),
    "carvana": (masks(1), mean_dice(row_major=True)),
    "dstl": (masks(10), satellites),
    "spacenet_buildings": (objects, buildings),
    "rsna_hemorrhage": (probabilities(6, False), haemorrhage),
    "rsna_pneumonia": (boxes(1), pneumonia),
    "aptos": (grades, kappa),
    "uw_madison": (masks(3), stomach),
    "hubmap_kidney": (masks(1), mean_dice()),
    "cervical": (probabilities(3, True), cervical),
    "vinbigdata": (boxes(14), chest),
}
NAMES = {
    "spacenet_buildings": lambda number: f"AOI_{2 + number % 2}_img{number}",
    "uw_madison": lambda number: f"case7_day{number // 8}_slice_{number % 8:04}",
}


def competition_of(name):
    content, classes = WITHOUT_CONFIG.get(name), None
    if content is None:
        whole = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
        content = {key: whole["competition"][key] for key in ("metric", "submission")}
        classes = whole["data"]["init_args"].get("classes")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--competition", type=Competition)
    competition = parser.instantiate(parser.parse_object({"competition": content})).competition
    if classes is not None and competition.submission.lacks_classes():
        competition.submission.take_classes(classes)
    return competition


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # of pycocotools
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", list(CASES))
def test_a_file_has_the_score_of_the_competition(name, seed, tmp_path, monkeypatch):
    if name in ("dstl", "spacenet_buildings"):
        pytest.importorskip("rasterio")
    monkeypatch.chdir(tmp_path)
    make, reference = CASES[name]
    competition, random = competition_of(name), np.random.default_rng(seed)
    ids = [NAMES.get(name, "{:02}".format)(number) for number in range(16)]
    if name == "dstl":
        Path("data/dstl").mkdir(parents=True)
        Path("data/dstl/grid_sizes.csv").write_text(",Xmax,Ymin\n" + "".join(f"{i},0.009,-0.007\n" for i in ids))
    pairs = {image_id: make(random) for image_id in ids}
    sizes = dict.fromkeys(ids, SIZE)
    for part, file in enumerate(("found.csv", "true.csv")):
        competition.submission.write([(i, pair[part]) for i, pair in pairs.items()], Path(file), None, sizes)
    found, true = (competition.submission.read(Path(file), sizes) for file in ("found.csv", "true.csv"))
    for image_id in ids:
        competition.metric.add(image_id, found[image_id], true[image_id])
    expected = reference("found.csv", "true.csv")
    assert 0.01 < expected < 0.97
    assert float(competition.metric.compute()) == pytest.approx(expected, abs=1e-6)
