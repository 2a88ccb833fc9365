"""The prediction store: arrays of every image on disk, between the network and everything after it."""

import contextlib
import io
import json
import logging
import os
import warnings
import zipfile
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
FORMAT = 2  # 1 did not note what it was made from
Window = tuple[int, int, int, int]


class PredictionStore:
    """A folder with one compressed file per image and a manifest.

    Each file is a zip that `numpy.load` opens: arrays of more than `STRIP_ROWS` rows are cut into strips, so that
    reading a window touches only its strips. Files appear complete or not at all; processes may write side by side.
    The manifest says what the predictions were made with, `sources.json` what each image was read from, so that old
    results are not taken for those of today.

    Args:
        path: the folder; made on the first write.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.manifest_path = self.path / "manifest.json"
        self.sources_path = self.path / "sources.json"

    @classmethod
    def open(cls, path: Path | str, images: Mapping[str, Inputs] | None = None) -> "PredictionStore":
        """A complete store, for the verbs that read it.

        Args:
            path: its folder.
            images: what a config says that each image is read from; None looks where the files lay when they were
                predicted.

        Raises:
            FileNotFoundError: no store there.
            ValueError: it is empty, `predict` has not finished it, or what it was made from has changed since.
        """
        store = cls(path)
        if not store.manifest_path.is_file():
            raise FileNotFoundError(f"no predictions in {store.path}; write them first: python cli.py predict RUN")
        manifest, present = store.manifest(), len(store.ids())
        expected = len(manifest["ids"])
        if not manifest.get("complete") or present < expected:
            raise ValueError(f"{store.path} holds {present} of {expected} images; run predict again, it will go on")
        if not present:
            raise ValueError(f"{store.path} holds no image; were there any to predict?")
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
        """Start the store, or go on with it.

        Args:
            expected_ids: every image the finished store must hold.
            fingerprint: hash of all settings and weights that the predictions depend on. Entries of another
                fingerprint are dropped.
            images: what each image is read from. Entries that were made from other contents are dropped; those to come
                are noted by `finish`.
            checkpoint: that the images are predicted with.
            stores: whose predictions go into these.

        Returns:
            The ids that are still to be predicted.
        """
        ids = [str(image_id) for image_id in expected_ids]
        if len(set(ids)) < len(ids):
            twice = next(image_id for image_id in ids if ids.count(image_id) > 1)
            raise ValueError(f"image {twice!r} is to be predicted twice; ids must be unique")
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
        # Nothing left to predict is a finished store: the Trainer does not even start on empty loaders.
        content = {"format": FORMAT, "fingerprint": fingerprint, "complete": not missing, "ids": sorted(ids)}
        content |= {"images": summary(now), "checkpoint": checkpoint}
        content["stores"] = {os.path.relpath(store.path, self.path): store.state() for store in stores}
        self.path.mkdir(parents=True, exist_ok=True)
        if images is not None:
            write_seen(self.sources_path, now, folders_of(now))
        self._write_manifest(content)
        return missing

    def _drop_old(self, fingerprint: str, known: Mapping[str, Seen], now: Mapping[str, Seen]) -> None:
        """Delete entries that other weights, settings or inputs have made."""
        before = self.manifest() if self.manifest_path.is_file() else {}
        present = set(self.ids())
        if not before or not present:
            return
        if before.get("fingerprint") != fingerprint:
            log.warning("%s was predicted by another checkpoint or other settings and is written anew", self.path)
            old = sorted(present)
        else:
            # Of entries that an older version wrote without noting their files, those after all changes are kept.
            unknown = {image_id: seen for image_id, seen in now.items() if image_id in present - known.keys()}
            late = [name for name, seen in unknown.items() if self._is_older(name, seen)]
            old = sorted(present & {*others(known, now), *late})
            if old:
                text = "%s: %d of %d images were predicted from other files or values, %r first; they are done anew"
                log.warning(text, self.path, len(old), len(present), old[0])
        for image_id in old:
            self._file(image_id).unlink()

    def _is_older(self, image_id: str, seen: Seen) -> bool:
        """Whether a file of the image has changed after its entry was written."""
        written = self._file(image_id).stat().st_mtime_ns
        return any(file.changed > written for file in seen.files)  # archives bring times of modification with them

    def finish(self, images: Mapping[str, Seen] | None = None) -> None:
        """Mark the store complete.

        Args:
            images: what the images were read from that were written since `begin`.

        Raises:
            ValueError: images are missing; names some.
        """
        manifest = self.manifest()
        missing = sorted(set(manifest["ids"]) - set(self.ids()))
        if missing:
            raise ValueError(
                f"{self.path} lacks {len(missing)} of {len(manifest['ids'])} images ({', '.join(missing[:3])}, …); "
                "run predict again, it will go on"
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
        """Write the arrays of one image; an entry that is there is replaced.

        Args:
            image_id: any text; the file's name is derived from it reversibly.
            arrays: any rank and type. Floats become `dtype`.
            dtype: `uint8` keeps maps `(C, H, W)` with values in 0..1 in steps of 1/255, and other floats (image-level
                outputs, boxes, embeddings) as float32; `float16` and `float32` keep all floats so.
        """
        with self.file(image_id, dtype) as file:
            for name, array in arrays.items():
                file.add(name, array)

    def file(self, image_id: str, dtype: Stored = "uint8") -> PredictionFile:
        """An entry to be written part by part within `with`, for maps that memory does not hold."""
        return PredictionFile(self._file(image_id), image_id, dtype)

    # --- reading -----------------------------------------------------------------------------------------------------

    def ids(self) -> list[str]:
        """Ids of the images that are there, sorted."""
        return sorted(unquote(file.stem) for file in self.path.glob("*.npz"))

    def __contains__(self, image_id: str) -> bool:
        return self._file(image_id).is_file()

    def __len__(self) -> int:
        return len(self.ids())

    def manifest(self) -> dict:
        """Format version, fingerprint, expected ids, whether complete, and what the predictions were made from."""
        return read_json(self.manifest_path)

    def state(self) -> str:
        """A hash that tells these predictions from those of other weights, settings or images."""
        manifest = self.manifest()
        return text_hash(f"{manifest['fingerprint']} {manifest.get('images', '')}")

    def seen(self) -> dict[str, Seen]:
        """What each image was read from, where it was noted."""
        return read_seen(self.sources_path)[0]

    def untouched(self) -> bool:
        """Whether a quick look, which reads no file, finds the images and their folders as they were."""
        return untouched(*read_seen(self.sources_path))

    def check_sources(self, images: Mapping[str, Inputs] | None = None) -> None:
        """Refuse old results: what the predictions were made from must be what is there now.

        Args:
            images: as in `open`. Without them files that have gone are not missed: their folder may have moved.

        Raises:
            ValueError: another checkpoint, other files, or other predictions that these were made from; says which.
        """
        if not self.manifest_path.is_file():  # nothing says what it was made from
            return
        manifest = self.manifest()
        if manifest.get("format", 1) < 2:
            warnings.warn(
                f"{self.path} was written by an older version, which did not note checkpoint and files: whether they "
                "are still the same cannot be told; write it again to be sure",
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
                    f"{self.path} was made from the predictions in {other.path}, which have been written anew since: "
                    "these are old results. Make them again from the new ones"
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
                f"{self.path} was made from other files or values: {len(old)} of {len(known)} images are not what they "
                f"were, {old[0]!r} first ({difference(known[old[0]], now[old[0]])}): these are old results. Run "
                "predict again, which does only these anew"
            )
        # Moved or touched: they need not be read again.
        new = {name: seen for name, seen in now.items() if seen != known[name] and replaces(known[name], seen)}
        if new:
            with contextlib.suppress(OSError):
                write_seen(self.sources_path, {**known, **new}, read_seen(self.sources_path)[1])

    def read(
        self, image_id: str, names: Sequence[str] | None = None, window: Window | None = None
    ) -> dict[str, np.ndarray]:
        """Arrays of one image as float32 (integers that were written as integers stay so).

        Args:
            image_id: the image.
            names: which arrays; all by default.
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
                if unknown:
                    raise KeyError(f"{self.path} has no {unknown} for image {image_id!r}, only {sorted(header)}")
                return {name: _read_array(content, name, header[name], window) for name in names or header}
        except FileNotFoundError:
            raise KeyError(f"{self.path} has no prediction of image {image_id!r}") from None
        except (zipfile.BadZipFile, EOFError, OSError, ValueError) as error:
            raise ValueError(
                f"the prediction of image {image_id!r} is damaged: {file} ({error}); delete it and run predict again"
            ) from error

    def _file(self, image_id: str) -> Path:
        # Quoting leaves letters, digits, `_`, `-` and `~`; a dot could make `..` or a hidden file.
        return self.path / (quote(image_id, safe="").replace(".", "%2E") + ".npz")

    def _write_manifest(self, content: dict) -> None:
        write_json(self.manifest_path, content, indent=None)


def read_finite(store: PredictionStore, image_id: str, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of one image, all of them numbers: NaN would become "no" at a threshold, and nobody would know.

    Raises:
        ValueError: a damaged file, or a value that is not finite; names file or image and output.
        KeyError: there is no such output.
    """
    entry = store.read(image_id, names)
    for name, array in entry.items():
        # The sum is not finite if any value is not, and takes a tenth of the time of asking each.
        if array.dtype.kind == "f" and not np.isfinite(array.sum()) and not np.isfinite(array).all():
            raise ValueError(
                f"output {name!r} of image {image_id!r} in {store.path} holds NaN or infinite values; "
                "predict again with another checkpoint, or leave it out"
            )
    return entry


def read_mean(
    stores: Sequence[PredictionStore], image_id: str, names: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """The mean of what several stores hold of an image, those of all folds; one store's own arrays as they are.

    In memory are the sums and one entry, because maps of scenes are large.

    Raises:
        ValueError, KeyError: of `read_finite`.
    """
    mean = read_finite(stores[0], image_id, names)
    if len(stores) == 1:
        return mean  # ids of instances have no mean, but one model's may be submitted
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
    del parts  # maps of scenes fill a good part of the memory
    if window is not None:
        offset = strips.start * STRIP_ROWS
        array = array[..., top - offset : bottom - offset, left:right]
    return restored(array, entry["scale"])
