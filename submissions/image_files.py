"""Base class of formats with a file per image: in a folder, in a zip, or in a folder beside a CSV that lists them."""

import tempfile
import zipfile
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from files.atomic import atomic_folder
from files.paths import confined
from submissions.base import Row, Sizes, Submission, SubmissionError

if TYPE_CHECKING:
    import pandas as pd

LIST = ".csv"
ZIP = ".zip"


class ImageFiles(Submission):
    """Base class of formats with a file `<image_id><ending>` per image.

    The ending of the output decides: `name.zip` is a zip of the files, `name.csv` a list `image_id,path` with the files
    in the folder `name` beside it, and any other name a folder. A folder is replaced as a whole; one that has other
    files is refused. All of it appears only if every file is valid.

    Attributes:
        ending: ending of the file of an image.
        more_endings: endings of further files of an image.
    """

    columns = ("image_id", "path")
    ending: str
    more_endings: ClassVar[tuple[str, ...]] = ()

    def __init__(self) -> None:
        self._output = self._folder = Path("submission")  # what is written, and the folder of its files
        self._new: Path | None = None  # holds files until all of them are checked
        self._read_from = Path()  # folder that paths of the list are relative to

    @abstractmethod
    def write_file(self, path: Path, image_id: str, prediction: dict[str, np.ndarray]) -> None:
        """Write the file of one image from its post-processed prediction."""

    @abstractmethod
    def read_file(self, path: Path, size: tuple[int, int]) -> dict[str, np.ndarray]:
        """Read and check the file of one image of this `(H, W)`; messages of errors need not name it."""

    @contextmanager
    def _appearing(self, output: Path) -> Iterator[Path]:
        self._output, self._folder = output, output.with_suffix("") if output.suffix in (LIST, ZIP) else output
        with self._holding_back(output) as self._new:
            try:
                if output == self._folder:
                    yield self._new  # appears with its files
                else:
                    with super()._appearing(output) as temporary:
                        yield temporary
            finally:
                self._new = None

    @contextmanager
    def _holding_back(self, output: Path) -> Iterator[Path]:
        """Folder for new files; its files, or the zip of them, appear at the end."""
        if output.suffix == ZIP:
            output.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(".tmp", output.name, output.parent) as folder:
                yield Path(folder)
            return
        self._refuse_others(self._folder)
        with atomic_folder(self._folder) as folder:
            yield folder

    def _refuse_others(self, folder: Path) -> None:
        if folder.is_file():
            raise SubmissionError(f"{folder} is a file, expected a folder for a file per image; name another --output")
        endings = (self.ending, *self.more_endings)
        other = next((path for path in folder.rglob("*") if path.is_file() and path.suffix not in endings), None)
        if other is not None:
            raise SubmissionError(
                f"{folder} has other files, such as {other.name}, and would be replaced; name another --output"
            )

    def rows(self, image_id: str, prediction: dict[str, np.ndarray]) -> list[Row]:
        name = f"{image_id}{self.ending}"
        path = confined(self._new or self._folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        self.write_file(path, image_id, prediction)
        return [(image_id, f"{self._folder.name}/{name}")]

    def _save(self, path: Path, rows: list[Row]) -> None:
        if path == self._new:
            return
        if self._new is None or self._output.suffix != ZIP:
            super()._save(path, rows)
            return
        with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as content:  # the files are compressed already
            for file in sorted(self._new.rglob("*")):
                content.write(file, file.relative_to(self._new).as_posix())

    def bytes_of(self, path: Path) -> int:
        return sum(file.stat().st_size for file in path.rglob("*")) if path.is_dir() else path.stat().st_size

    def _where(self, path: Path, number: int) -> str:
        return str(path) if path.is_dir() or zipfile.is_zipfile(path) else super()._where(path, number)

    def _compare(self, path: Path, order: list[Row], expected: list[Row]) -> None:
        if path.is_dir() or zipfile.is_zipfile(path):  # files have no order
            order, expected = sorted(order), sorted(expected)
        super()._compare(path, order, expected)

    def table(self, path: Path) -> "pd.DataFrame":
        if not path.is_dir() and not (path.is_file() and zipfile.is_zipfile(path)):
            return super().table(path)
        import pandas as pd

        if path.is_dir():
            names = [file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()]
        else:
            with zipfile.ZipFile(path) as content:
                names = [name for name in content.namelist() if not name.endswith("/")]
        own = sorted(name for name in names if name.endswith(self.ending))
        if not own:
            raise SubmissionError(f"{path} has no file that ends in {self.ending}, only {sorted(names)[:3]}")
        rows = [(Path(name).name.removesuffix(self.ending), name) for name in own]
        return pd.DataFrame(rows, columns=list(self.columns))

    def read(self, path: Path, sizes: Sizes | None) -> dict[str, dict[str, np.ndarray]]:
        with _folder_of(path) as self._read_from:
            return super().read(path, sizes)

    def image(self, texts: list[Row], size: tuple[int, int]) -> dict[str, np.ndarray]:
        name = texts[0][1]
        path = confined(self._read_from, name)
        if self._new is not None and not path.is_file():  # listed under the name that the folder gets at the end
            path = confined(self._new, name.removeprefix(f"{self._folder.name}/"))
        try:
            return self.read_file(path, size)
        except FileNotFoundError as error:
            raise ValueError(f"{name} does not exist") from error
        except (OSError, ValueError) as error:
            raise ValueError(f"{name}: {error}") from error


@contextmanager
def _folder_of(path: Path) -> Iterator[Path]:
    """Folder that the paths of a list, a folder or a zip are relative to."""
    if path.is_dir():
        yield path
    elif path.is_file() and zipfile.is_zipfile(path):
        with tempfile.TemporaryDirectory() as folder:
            with zipfile.ZipFile(path) as content:
                content.extractall(folder)
            yield Path(folder)
    else:
        yield path.parent


def check_shape(found: tuple[int, ...], size: tuple[int, int]) -> None:
    """Raise an error if a file is not of the size of its image."""
    if found[:2] != tuple(size):
        raise ValueError(f"it is {found[:2]}, expected {tuple(size)} as its image")
