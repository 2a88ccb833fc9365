"""Prediction store: arrays of every image on disk, between the network and all later steps."""

import contextlib
import io
import json
import logging
import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np

from files.paths import text_hash
from files.texts import read_json
from files.writing import write_json
from predictions.entry import STRIP_ROWS, PredictionFile
from predictions.quantiser import Stored, restored
from preprocessing.sources import (
    CheckpointMark,
    FileMark,
    Inputs,
    Seen,
    check_checkpoint,
    difference,
    folders_of,
    look,
    others,
    read_seen,
    replaces,
    summary,
    untouched,
    write_seen,
)

log = logging.getLogger(__name__)
# What zipfile, zlib and a header that is not ours raise for a damaged file.
DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, ValueError, KeyError, TypeError, IndexError),
    *(AttributeError, NotImplementedError, RuntimeError),
)
FORMAT = 2  # 1 did not record its inputs
Window = tuple[int, int, int, int]


class PredictionStore:
    """A folder with one compressed file per image and a manifest.

    Each file is a zip that `numpy.load` opens: arrays of more than `STRIP_ROWS` rows are cut into strips, so that
    reading a window touches only its strips. Files appear complete or not at all; processes may write in parallel.
    The manifest records what the predictions were made with, `sources.json` what each image was read from, so that
    outdated results are detected.

    Args:
        path: path of the folder, created on the first write.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.manifest_path = self.path / "manifest.json"
        self.sources_path = self.path / "sources.json"

    @classmethod
    def open(cls, path: Path | str, images: Mapping[str, Inputs] | None = None) -> "PredictionStore":
        """Open a complete store for reading.

        Args:
            path: path of the folder.
            images: inputs of each image according to a config (default: the files they were predicted from).

        Raises:
            FileNotFoundError: there is no store.
            ValueError: it is empty, `predict` has not finished it, or its inputs have changed since.
        """
        store = cls(path)
        if not store.manifest_path.is_file():
            raise FileNotFoundError(f"{store.path} has no predictions; make them first: python cli.py predict RUN")
        manifest, present = store.manifest(), len(store.ids())
        expected = len(manifest["ids"])
        if not manifest.get("complete") or present < expected:
            raise ValueError(f"{store.path} has {present} of {expected} images; run predict again to continue")
        if not present:
            raise ValueError(f"{store.path} has no images; was there anything to predict?")
        store.check_sources(images)
        return store

    # --- writing -----------------------------------------------------------------------------------------------------

    def begin(
        self,
        expected_ids: Sequence[str],
        fingerprint: str,
        images: Mapping[str, Inputs] | None = None,
        checkpoint: CheckpointMark | None = None,
        stores: Sequence["PredictionStore"] = (),
    ) -> list[str]:
        """Start the store, or continue it.

        Args:
            expected_ids: ids of all images in the finished store.
            fingerprint: hash of all settings and weights that the predictions depend on. Entries with another
                fingerprint are deleted.
            images: inputs of each image. Entries made from other contents are deleted; those of new entries are
                recorded by `finish`.
            checkpoint: checkpoint that predicts the images.
            stores: stores whose predictions are used for these.

        Returns:
            Ids that are still to be predicted.
        """
        ids = [str(image_id) for image_id in expected_ids]
        if len(set(ids)) < len(ids):
            twice = next(image_id for image_id in ids if ids.count(image_id) > 1)
            raise ValueError(f"image {twice!r} is repeated; ids must be unique")
        for temporary in self.path.glob("*.tmp"):
            temporary.unlink()
        known, present = self.seen(), set(self.ids())
        now = look({name: inputs for name, inputs in (images or {}).items() if name in present}, known)
        self._drop_old(fingerprint, known, now)
        for image_id in set(self.ids()) - set(ids):
            self._file(image_id).unlink()
        present = set(self.ids())
        now = {name: seen for name, seen in now.items() if name in present}
        missing = sorted(set(ids) - present)
        # With nothing left to predict the store is finished: the Trainer does not start on empty loaders.
        content = {"format": FORMAT, "fingerprint": fingerprint, "complete": not missing, "ids": sorted(ids)}
        content |= {"images": summary(now), "checkpoint": checkpoint}
        content["stores"] = {os.path.relpath(store.path, self.path): store.state() for store in stores}
        self.path.mkdir(parents=True, exist_ok=True)
        if images is not None:
            write_seen(self.sources_path, now, folders_of(now))
        self._write_manifest(content)
        return missing

    def _drop_old(self, fingerprint: str, known: Mapping[str, Seen], now: Mapping[str, Seen]) -> None:
        """Delete entries made with other weights, settings or inputs."""
        before = self.manifest() if self.manifest_path.is_file() else {}
        present = set(self.ids())
        if not before or not present:
            return
        if before.get("fingerprint") != fingerprint:
            log.warning("%s was predicted with another checkpoint or other settings and is predicted again", self.path)
            old = sorted(present)
        else:
            # Entries of an older version without recorded files are kept if newer than all files.
            unknown = {image_id: seen for image_id, seen in now.items() if image_id in present - known.keys()}
            late = [name for name, seen in unknown.items() if self._is_older(name, seen)]
            old = sorted(present & {*others(known, now), *late})
            if old:
                text = (
                    "%s: %d of %d images were predicted from other files or values, first %r; they are predicted again"
                )
                log.warning(text, self.path, len(old), len(present), old[0])
        for image_id in old:
            self._file(image_id).unlink()

    def _is_older(self, image_id: str, seen: Seen) -> bool:
        """Whether a file of the image changed after its entry was written."""
        written = self._file(image_id).stat().st_mtime_ns
        return any(file.changed > written for file in seen.files)  # archives preserve modification times

    def finish(self, images: Mapping[str, Seen] | None = None) -> None:
        """Mark the store complete.

        Args:
            images: inputs of the images written since `begin`.

        Raises:
            ValueError: images are missing; names some of them.
        """
        manifest = self.manifest()
        missing = sorted(set(manifest["ids"]) - set(self.ids()))
        if missing:
            raise ValueError(
                f"{self.path} lacks {len(missing)} of {len(manifest['ids'])} images ({', '.join(missing[:3])}, …); run "
                "predict again to continue"
            )
        if images:
            seen = self.seen() | dict(images)
            write_seen(self.sources_path, seen, folders_of(seen))
            manifest["images"] = summary(seen)
        self._write_manifest(manifest | {"complete": True})

    def write(
        self,
        image_id: str,
        arrays: dict[str, np.ndarray],
        dtype: Stored = "uint8",
    ) -> None:
        """Write the arrays of one image; replaces an existing entry.

        Args:
            image_id: any text; the file name is derived from it reversibly.
            arrays: arrays of any rank and type by name. Floats are stored as `dtype`.
            dtype: `uint8` stores maps `(C, H, W)` with values in 0..1 in steps of 1/255, and other floats (image-level
                outputs, boxes, embeddings) as float32; `float16` and `float32` store all floats in that type.
        """
        with self.file(image_id, dtype) as file:
            for name, array in arrays.items():
                file.add(name, array)

    def file(self, image_id: str, dtype: Stored = "uint8") -> PredictionFile:
        """Open an entry for writing part by part within `with`, for maps larger than memory."""
        return PredictionFile(self._file(image_id), image_id, dtype)

    # --- reading -----------------------------------------------------------------------------------------------------

    def ids(self) -> list[str]:
        """Sorted ids of the images in the store."""
        return sorted(unquote(file.stem) for file in self.path.glob("*.npz"))

    def __contains__(self, image_id: str) -> bool:
        return self._file(image_id).is_file()

    def __len__(self) -> int:
        return len(self.ids())

    def manifest(self) -> dict:
        """Format version, fingerprint, expected ids, completeness, and inputs of the predictions."""
        return read_json(self.manifest_path)

    def state(self) -> str:
        """Hash that identifies the weights, settings and images of these predictions."""
        manifest = self.manifest()
        return text_hash(f"{manifest['fingerprint']} {manifest.get('images', '')}")

    def seen(self) -> dict[str, Seen]:
        """Recorded inputs of each image."""
        return read_seen(self.sources_path)[0]

    def untouched(self) -> bool:
        """Whether a quick check, without reading files, finds images and folders unchanged."""
        return untouched(*read_seen(self.sources_path))

    def check_sources(self, images: Mapping[str, Inputs] | None = None) -> None:
        """Check that the inputs of the predictions have not changed since.

        Args:
            images: as in `open`. Without them missing files are ignored: their folder may have moved.

        Raises:
            ValueError: the checkpoint, a file, or a store of predictions that these were made from has changed.
        """
        if not self.manifest_path.is_file():  # inputs are not recorded
            return
        manifest = self.manifest()
        if manifest.get("format", 1) < 2:
            warnings.warn(
                f"{self.path} was written by an older version, which did not record checkpoint and files: changes "
                "cannot be detected; predict again to be sure",
                stacklevel=3,
            )
            return
        if manifest["checkpoint"] is not None:
            run, name, file = manifest["checkpoint"]
            check_checkpoint(CheckpointMark(run, name, FileMark(*file)), self.path)
        for place, state in manifest["stores"].items():
            other = PredictionStore(os.path.normpath(self.path / place))
            if other.manifest_path.is_file() and other.state() != state:
                raise ValueError(
                    f"{self.path} was made from the predictions in {other.path}, which have changed since: these "
                    "results are outdated. Make them again from the new predictions"
                )
            other.check_sources()
        known = self.seen()
        if images is None:
            images = {name: Inputs([file.path for file in seen.files], seen.values) for name, seen in known.items()}
            images = {name: inputs for name, inputs in images.items() if all(map(os.path.exists, inputs.files))}
        now = look({name: inputs for name, inputs in images.items() if name in known}, known)
        old = others(known, now)
        if old:
            raise ValueError(
                f"{self.path} was made from other files or values: {len(old)} of {len(known)} images have changed, "
                f"first {old[0]!r} ({difference(known[old[0]], now[old[0]])}); these results are outdated. Run predict "
                "again, which repeats only these"
            )
        # Record moved or touched files, so that they need not be read again.
        new = {name: seen for name, seen in now.items() if seen != known[name] and replaces(known[name], seen)}
        if new:
            with contextlib.suppress(OSError):
                write_seen(self.sources_path, {**known, **new}, read_seen(self.sources_path)[1])

    def read(
        self, image_id: str, names: Sequence[str] | None = None, window: Window | None = None
    ) -> dict[str, np.ndarray]:
        """Read arrays of one image as float32 (integers stay integers).

        Args:
            image_id: image id.
            names: names of the arrays (default: all).
            window: `(top, left, bottom, right)` in pixels, cut from every array with rows and columns; only the strips
                it touches are read.

        Raises:
            KeyError: no such image or array.
            ValueError: the file is damaged; names it.
        """
        file = self._file(image_id)
        try:
            with zipfile.ZipFile(file) as content:
                header = json.loads(content.read("header.json"))["arrays"]
                unknown = sorted(set(names or []) - set(header))
                wanted = names or header
                if not unknown:
                    return {name: _read_array(content, name, header[name], window) for name in wanted}
        except FileNotFoundError:
            raise KeyError(f"{self.path} has no prediction of image {image_id!r}") from None
        except DAMAGED as error:
            raise ValueError(
                f"the prediction of image {image_id!r} is damaged: {file} ({error}); delete it and run predict again"
            ) from error

        raise KeyError(f"{self.path} has no {unknown} for image {image_id!r}, only {sorted(header)}")

    def _file(self, image_id: str) -> Path:
        # Quoting leaves letters, digits, `_`, `-` and `~`; dots are quoted too, to avoid `..` and hidden files.
        return self.path / (quote(image_id, safe="").replace(".", "%2E") + ".npz")

    def _write_manifest(self, content: dict) -> None:
        write_json(self.manifest_path, content, indent=None)


def read_finite(store: PredictionStore, image_id: str, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """Read the arrays of one image and check that they are finite: a threshold would silently turn NaN into "no".

    Raises:
        ValueError: a damaged file, or a value that is not finite; names file or image and output.
        KeyError: no such image or output.
    """
    entry = store.read(image_id, names)
    for name, array in entry.items():
        # The sum is not finite if any value is not, and takes a tenth of the time of checking each.
        if array.dtype.kind == "f" and not np.isfinite(array.sum()) and not np.isfinite(array).all():
            raise ValueError(
                f"output {name!r} of image {image_id!r} in {store.path} has NaN or infinite values; predict again with "
                "another checkpoint, or leave this store out"
            )
    return entry


def read_mean(
    stores: Sequence[PredictionStore], image_id: str, names: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Mean of the arrays of an image over several stores, one per fold; the arrays of a single store are unchanged.

    Only the sums and one entry are in memory, because maps of scenes are large.

    Raises:
        ValueError, KeyError: as in `read_finite`.
    """
    mean = read_finite(stores[0], image_id, names)
    if len(stores) == 1:
        return mean  # instance ids have no mean, but those of a single model can be submitted
    mean = {name: array if array.dtype.kind == "f" else array.astype(np.float64) for name, array in mean.items()}
    for store in stores[1:]:
        for name, array in read_finite(store, image_id, list(mean)).items():
            mean[name] += array
    for array in mean.values():
        array /= len(stores)
    return mean


def _read_array(content: zipfile.ZipFile, name: str, entry: dict, window: Window | None) -> np.ndarray:
    shape = entry["shape"]
    strips = range(entry["strips"])
    window = window if len(shape) >= 2 else None
    if window is not None:
        top, left, bottom, right = window
        strips = range(top // STRIP_ROWS, max(top // STRIP_ROWS + 1, -(-min(bottom, shape[-2]) // STRIP_ROWS)))
    parts = [np.lib.format.read_array(io.BytesIO(content.read(f"{name}.{strip}.npy"))) for strip in strips]
    array = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-2)
    del parts  # maps of scenes take much memory
    if window is not None:
        offset = strips.start * STRIP_ROWS
        array = array[..., top - offset : bottom - offset, left:right]
    return restored(array, entry["scale"])
