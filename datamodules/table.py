"""The table: one row per image."""

from pathlib import Path

import pandas as pd

from preprocessing.files import confined


def find_images(root: Path | str, pattern: str, source: str = "train") -> pd.DataFrame:
    """Table of the files that match a glob pattern under the root; the id is the file's name without its ending.

    Args:
        root: folder of the competition's files.
        pattern: such as `stage1_train/*/images/*.png`.
        source: where the rows come from; only `train` may enter validation.

    Returns:
        `image_id, path, weight, source`, sorted by id.

    Raises:
        FileNotFoundError: nothing matches.
        ValueError: two files with one id, or a pattern that leads out of the root.
    """
    confined(root, pattern)
    files = sorted(path for path in Path(root).glob(pattern) if path.is_file())
    if not files:
        what = "is not there" if not Path(root).is_dir() else f"has no file that matches {pattern!r}"
        raise FileNotFoundError(f"no images: {Path(root)} {what}; check data.root and data.images")
    table = pd.DataFrame({"image_id": [path.stem for path in files], "path": [str(path) for path in files]})
    table["weight"], table["source"] = 1.0, source
    twice = table[table["image_id"].duplicated(keep=False)]
    if len(twice):
        one, other = twice[twice["image_id"] == twice["image_id"].iloc[0]]["path"].tolist()[:2]
        raise ValueError(f"two files have the id {twice['image_id'].iloc[0]!r}: {one} and {other}")
    return table.sort_values("image_id", ignore_index=True)


def read_csv(path: Path | str) -> pd.DataFrame:
    """A CSV as text: `001` stays `001`, `NA` is an id, header names without stray spaces or a byte-order mark."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no table {path}")
    return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig").rename(columns=str.strip)
