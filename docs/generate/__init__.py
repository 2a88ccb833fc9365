"""Pages of the site generated from the code: the reference, and the results of the benchmarks."""

from pathlib import Path

from docs.generate import benchmarks, reference


def write(folder: Path) -> None:
    """Write `reference/` and `benchmarks/` under a folder; unchanged files are not written."""
    for name, pages in (("reference", reference.pages()), ("benchmarks", benchmarks.pages())):
        target = folder / name
        target.mkdir(parents=True, exist_ok=True)
        for old in target.glob("*.md"):
            if old.name not in pages:
                old.unlink()
        for file, text in pages.items():
            path = target / file
            if not path.is_file() or path.read_text() != text:
                path.write_text(text)
