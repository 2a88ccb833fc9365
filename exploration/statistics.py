"""Tables of facts about many images."""

from collections import Counter

import numpy as np
import pandas as pd

from exploration.facts import ImageFacts, TargetFacts


def images_table(facts: list[ImageFacts]) -> pd.DataFrame:
    """Return a table with one row per image and all scalar facts: `images.csv`."""
    records = []
    for fact in facts:
        record = {
            "image_id": fact.image_id,
            "split": fact.split,
            "path": fact.path,
            "error": fact.error or "",
            "target_error": fact.target_error or "",
            "file_bytes": fact.file_bytes,
            "height": fact.size[-2] if fact.size else np.nan,
            "width": fact.size[-1] if fact.size else np.nan,
            "channels": fact.channels,
            "dtype": fact.dtype,
            "valid": fact.valid,
            "partial": fact.partial,
            "pixel_hash": fact.pixel_hash or "",
        }
        if len(fact.size) == 3:
            record["depth"] = fact.size[0]
        for channel in range(fact.channels):
            record[f"mean_{channel}"], record[f"std_{channel}"] = fact.mean[channel], fact.std[channel]
            for place, name in enumerate(("min", "p01", "median", "p99", "max")):
                record[f"{name}_{channel}"] = fact.percentiles[place, channel]
        for name, target in fact.target.items():
            record |= _target_columns(name, target)
        records.append(record)
    return pd.DataFrame(records)


def _target_columns(name: str, target: TargetFacts) -> dict[str, object]:
    if target.kind in ("masks", "classes"):
        return {f"{name}_pixels" if name == key else f"{name}_pixels_{key}": n for key, n in target.pixels.items()}
    if target.kind in ("instances", "boxes"):
        areas = target.areas
        middle = float(np.median(areas)) if len(areas) else np.nan
        return {f"{name}_objects": len(areas), f"{name}_median_area": middle}
    if target.kind == "labels":
        return {name: " ".join(target.labels)}
    return {f"{name}_{number}": value for number, value in enumerate(target.numbers)}


def image_statistics(facts: list[ImageFacts], names: list[str] | None = None) -> pd.DataFrame:
    """Return the statistics by which train and test are compared: brightness, contrast, sizes, bytes.

    One row per readable image.
    """
    names = names or []
    records = []
    for fact in facts:
        if fact.error is not None:
            continue
        height, width = fact.size[-2:]
        record = {"height": height, "width": width, "width / height": width / height, "file bytes": fact.file_bytes}
        for channel in range(fact.channels):
            where = names[channel] if channel < len(names) else f"channel {channel}"
            where = f", {where}" if fact.channels > 1 else ""
            record[f"mean{where}"], record[f"standard deviation{where}"] = fact.mean[channel], fact.std[channel]
        records.append(record)
    return pd.DataFrame(records)


def sizes_table(facts: list[ImageFacts]) -> pd.DataFrame:
    """Count the images of each split by size, channels and type, the most frequent first."""
    rows: Counter[tuple[str, int, str, str]] = Counter()
    for fact in facts:
        if fact.error is None:
            rows[(" × ".join(map(str, fact.size)), fact.channels, fact.dtype, fact.split)] += 1
    if not rows:
        return pd.DataFrame(columns=["size", "channels", "type"])
    frame = pd.DataFrame([(*key, count) for key, count in rows.items()], columns=["size", "channels", "type", "s", "n"])
    table = frame.pivot_table(index=["size", "channels", "type"], columns="s", values="n", aggfunc="sum", fill_value=0)
    splits = [split for split in ("train", "test") if split in table]
    order = table[splits].sum(axis=1).sort_values(ascending=False, kind="stable").index
    return table.loc[order, splits].reset_index()


def channels_table(facts: list[ImageFacts], names: list[str]) -> pd.DataFrame:
    """Return percentiles, mean and standard deviation of the sampled pixels, for every channel and split.

    The standard deviation is over the pixels of all images, as `model.std` expects.
    """
    records = []
    most = max((fact.channels for fact in facts), default=0)
    for channel in range(most):
        for split in ("train", "test"):
            values = pixels_of(facts, split, channel)
            if len(values):
                low, median, high = np.percentile(values, (1, 50, 99))
                lowest = min(f.percentiles[0, channel] for f in facts if f.split == split and f.channels > channel)
                highest = max(f.percentiles[4, channel] for f in facts if f.split == split and f.channels > channel)
                name = names[channel] if channel < len(names) else str(channel)
                records.append((name, split, lowest, low, median, high, highest, values.mean(), values.std()))
    columns = ["channel", "split", "min", "1 %", "median", "99 %", "max", "mean", "std"]
    return pd.DataFrame(records, columns=columns)


def pixels_of(facts: list[ImageFacts], split: str, channel: int) -> np.ndarray:
    """Return the sampled pixels of a channel and split; every image has the same weight."""
    parts = [f.pixels[:, channel] for f in facts if f.split == split and f.channels > channel]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def target_names(facts: list[ImageFacts]) -> dict[str, str]:
    """Return array name -> kind for the targets of all images; those read from files precede derived ones."""
    found: dict[str, tuple[bool, str]] = {}
    for fact in facts:
        for name, target in fact.target.items():
            found.setdefault(name, (target.derived, target.kind))
    return {name: kind for name, (_, kind) in sorted(found.items(), key=lambda item: item[1][0])}


def targets_of(facts: list[ImageFacts], name: str, split: str | None = None) -> list[TargetFacts]:
    """Return the facts about one target array, for the images that have it."""
    return [f.target[name] for f in facts if name in f.target and (split is None or f.split == split)]


def pixel_classes(targets: list[TargetFacts]) -> pd.DataFrame:
    """Return the share of pixels and of images of each class, for `masks` and `classes`."""
    pixels: Counter[str] = Counter()
    images: Counter[str] = Counter()
    total = sum(target.total for target in targets)
    for target in targets:
        pixels.update(target.pixels)
        images.update(name for name, count in target.pixels.items() if count)
    names = sorted(pixels, key=_natural)
    return pd.DataFrame(
        {
            "class": names,
            "images with it": [images[name] for name in names],
            "share of images": [images[name] / max(1, len(targets)) for name in names],
            "share of pixels": [pixels[name] / max(1, total) for name in names],
        }
    )


def label_counts(targets: list[TargetFacts]) -> pd.DataFrame:
    """Count the images of each class, the most frequent first."""
    counts = Counter(label for target in targets for label in set(target.labels))
    names = sorted(counts, key=lambda name: (-counts[name], _natural(name)))
    shares = [counts[name] / len(targets) for name in names]
    return pd.DataFrame({"class": names, "images": [counts[name] for name in names], "share of images": shares})


def cooccurrence(targets: list[TargetFacts], names: list[str]) -> np.ndarray:
    """Return `(K, K)`: the share of images with the row's class that also have the column's; the diagonal is 1."""
    present = np.array([[name in target.labels for name in names] for target in targets], np.float64)
    return present.T @ present / np.maximum(present.sum(0), 1)[:, None]


def fold_table(folds: pd.DataFrame, facts: list[ImageFacts]) -> pd.DataFrame:
    """Return the numbers of images and groups, and the targets, of each fold."""
    by_id = {fact.image_id: fact for fact in facts if fact.split == "train"}
    names = {name: kind for name, kind in target_names(list(by_id.values())).items()}
    records = []
    for fold, part in folds.groupby("fold"):
        members = [by_id[image_id] for image_id in part["image_id"] if image_id in by_id]
        record = {"fold": fold, "images": len(part), "groups": part["group"].nunique()}
        for name, kind in names.items():
            targets = targets_of(members, name)
            if not targets or targets[0].derived:
                continue
            if kind in ("instances", "boxes"):
                record[f"{name}: objects"] = sum(len(target.areas) for target in targets)
            elif kind == "labels":
                table = label_counts(targets).set_index("class")["images"]
                known = sorted({label for target in targets_of(facts, name) for label in target.labels}, key=_natural)
                record |= {f"{name} {label}": int(table.get(label, 0)) for label in known[:30]}
            elif kind in ("masks", "classes"):
                shares = pixel_classes(targets).set_index("class")["share of pixels"]
                record |= {f"{_label(name, key)}: pixels": share for key, share in shares.items()}
        records.append(record)
    return pd.DataFrame(records)


def _label(name: str, key: str) -> str:
    return name if name == key else f"{name} {key}"


def _natural(name: str) -> tuple:
    return (0, int(name), "") if name.isdecimal() else (1, 0, name)
