"""Files of pretrained weights: in `$WEIGHTS_DIR`, in a mounted folder, in the caches of the hubs, or from a hub."""

import os
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import huggingface_hub
import torch
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError
from torch import Tensor

ENDINGS = (".safetensors", ".pth", ".pt", ".bin")
IN_FOLDER = ("model.safetensors", "pytorch_model.bin")  # file names of a hub
MOUNTED = "/kaggle/input"  # where Kaggle mounts datasets and models
DEPTH = 6  # folders of a Kaggle model below the mount: models/<owner>/<model>/<framework>/<variation>/<version>
WIDE = 1000  # entries of a folder; one with more holds images, which would take seconds to list
ENTRIES = 20_000  # entries looked at in all
FORMER_DENSENET = re.compile(r"(denselayer\d+\.(?:norm|conv))\.(\d)\.")  # names in torchvision's files
BGR = "conv1_7x7_s2.weight"  # first layer of Cadene's BN-Inception, whose images have blue first
PATIENCE = 1.5  # seconds until a hub counts as out of reach


@dataclass(frozen=True)
class Wanted:
    """Where pretrained weights may be found.

    Args:
        name: name of the encoder.
        stems: names of a file without its ending, or of a folder, in order of preference.
        repository: repository on the Hugging Face hub; None if there is none.
        revision: commit of the repository.
        files: names of the file in the repository, in order of preference.
        url: address of a file, which `torch.hub` keeps under its last part.
        off: setting that asks for random weights, for the error.
    """

    name: str
    stems: tuple[str, ...]
    repository: str | None = None
    revision: str | None = None
    files: tuple[str, ...] = IN_FOLDER
    url: str | None = None
    off: str = "pretrained: false"


def find_weights_file(wanted: Wanted) -> Path:
    """The file of pretrained weights, downloaded only if it is in no folder and no cache.

    Raises:
        OSError: there is none, and it cannot be downloaded; the message lists the places and the file to bring.
    """
    for folder in folders():
        found = find_below(folder, wanted.stems)
        if found is not None:
            return found
    cached = find_cached(wanted)
    if cached is not None:
        return cached
    reason = out_of_reach(hub_address(wanted))
    if reason is None:
        try:
            return download(wanted)
        except Exception as error:  # each hub client raises its own errors
            reason = (str(error) or repr(error)).splitlines()[0]
    raise OSError(missing_text(wanted, reason))


def folders() -> list[Path]:
    """Folders to search: `$WEIGHTS_DIR`, and those of `$WEIGHTS_MOUNTS` (default: `/kaggle/input`)."""
    named = [os.environ.get("WEIGHTS_DIR", ""), *os.environ.get("WEIGHTS_MOUNTS", MOUNTED).split(os.pathsep)]
    return [Path(name) for name in named if name and Path(name).is_dir()]


def find_below(folder: Path, stems: tuple[str, ...]) -> Path | None:
    """The best file below a folder: `<stem>.<ending>`, or the file of a hub in a folder `<stem>` or below it.

    Letter case and separators do not count, as Kaggle changes them (`convnext_tiny` becomes `convnext-tiny`).
    """
    direct = [folder / f"{stem}{ending}" for stem in stems for ending in ENDINGS]
    direct += [folder / stem / name for stem in stems for name in IN_FOLDER]
    found = next((path for path in direct if path.is_file()), None)
    if found is not None:
        return found
    slugs = [slug(stem) for stem in stems]
    ranked = [(rank, path) for path in files_below(folder) if (rank := rank_of(path, folder, slugs)) is not None]
    return min(ranked)[1] if ranked else None


def rank_of(path: Path, folder: Path, slugs: list[str]) -> tuple[int, ...] | None:
    """Preference of a file, the lowest first; None if its name is none of the wanted ones."""
    if path.suffix in ENDINGS and slug(path.stem) in slugs:
        return slugs.index(slug(path.stem)), 0, ENDINGS.index(path.suffix)
    if path.name in IN_FOLDER:
        above = [slug(part.split("--")[-1]) for part in path.relative_to(folder).parts[:-1]]  # models--timm--<name>
        named = [slugs.index(part) for part in above if part in slugs]
        if named:
            return min(named), 1, IN_FOLDER.index(path.name)
    return None


def slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def files_below(folder: Path) -> Iterator[Path]:
    """Files below a folder, those near it first; folders of images are left out."""
    left, level = ENTRIES, [folder]
    for _ in range(DEPTH + 1):
        deeper = []
        for one in level:
            try:
                with os.scandir(one) as scan:
                    entries = sorted(islice(scan, min(WIDE + 1, left)), key=lambda entry: entry.name)
            except OSError:  # not readable
                continue
            left -= len(entries)
            if len(entries) > WIDE:
                continue
            for entry in entries:
                if entry.is_dir():
                    deeper.append(Path(entry.path))
                else:
                    yield Path(entry.path)
        level = deeper


def find_cached(wanted: Wanted) -> Path | None:
    """The file in the cache of the Hugging Face hub or of `torch.hub`."""
    if wanted.repository is not None:
        for file in wanted.files:
            cached = huggingface_hub.try_to_load_from_cache(wanted.repository, file, revision=wanted.revision)
            if isinstance(cached, str):
                return Path(cached)
    if wanted.url is not None:
        path = torch_cache() / Path(urlsplit(wanted.url).path).name
        if path.is_file():
            return path
    return None


def torch_cache() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def hub_address(wanted: Wanted) -> str | None:
    return constants.ENDPOINT if wanted.repository is not None else wanted.url


def out_of_reach(address: str | None) -> str | None:
    """Why a hub cannot be reached, found within `PATIENCE`; None if it can."""
    if address is None:
        return "no hub has them"
    parts = urlsplit(address)
    if address == constants.ENDPOINT and constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    proxy = None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
    if proxy is not None:
        parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    told = [f"no answer from {parts.hostname} within {PATIENCE} s"]

    def connect() -> None:
        try:
            socket.create_connection((parts.hostname or "", port), timeout=PATIENCE).close()
            told.append("")
        except Exception as error:
            told.append(f"{parts.hostname} cannot be reached: {error}")

    # A name server may take longer than the timeout of a connection.
    probe = threading.Thread(target=connect, daemon=True)
    probe.start()
    probe.join(PATIENCE)
    return told[-1] or None


def download(wanted: Wanted) -> Path:
    """Download the file into the cache of its hub."""
    if wanted.repository is None:
        assert wanted.url is not None  # it was reached
        path = torch_cache() / Path(urlsplit(wanted.url).path).name
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(wanted.url, str(path))
        return path
    for file in wanted.files[:-1]:
        try:
            return Path(huggingface_hub.hf_hub_download(wanted.repository, file, revision=wanted.revision))
        except EntryNotFoundError:
            continue
    return Path(huggingface_hub.hf_hub_download(wanted.repository, wanted.files[-1], revision=wanted.revision))


def missing_text(wanted: Wanted, reason: str) -> str:
    """One line: what is missing, where it was looked for, and what to bring."""
    named = os.environ.get("WEIGHTS_DIR")
    mounts = os.environ.get("WEIGHTS_MOUNTS", MOUNTED).split(os.pathsep)
    tried = ["$WEIGHTS_DIR (not set)" if not named else f"$WEIGHTS_DIR ({named})"]
    tried += [mount if Path(mount).is_dir() else f"{mount} (no such folder)" for mount in mounts if mount]
    tried += [constants.HF_HUB_CACHE] if wanted.repository is not None else []
    tried += [str(torch_cache())] if wanted.url is not None else []
    hub = wanted.repository or wanted.url
    online = f"; {hub} was not downloaded ({reason})" if hub is not None else f"; {reason}"
    others = [f"{wanted.stems[0]}{ending}" for ending in (".pth", ".bin")] + [f"{wanted.stems[0]}/{IN_FOLDER[0]}"]
    return (
        f"no weights of {wanted.name} in {', '.join(tried)}{online}. Bring {wanted.stems[0]}.safetensors (or "
        f"{', '.join(others)}) into $WEIGHTS_DIR, name a file in model.encoder_init_from, or set {wanted.off}"
    )


def read_state(path: Path) -> dict[str, Tensor]:
    """Tensors by name, for RGB images; never runs code from the file.

    Raises:
        ValueError: the file is damaged or not a state dict.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
            content = content.get("state_dict", content)
        state = {FORMER_DENSENET.sub(r"\1\2.", key.removeprefix("module.")): value for key, value in content.items()}
    except Exception as error:
        cause = (str(error) or repr(error)).splitlines()[0]
        raise ValueError(
            f"weights {path} are damaged or not a state dict ({path.stat().st_size} bytes): {cause}; copy the "
            "file again"
        ) from error
    return state | {BGR: state[BGR].flip(1)} if BGR in state else state
