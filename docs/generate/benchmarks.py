"""The pages of the results written by `python -m benchmarks.<name>`."""

from docs.generate.objects import ROOT


def pages() -> dict[str, str]:
    """Return file name -> Markdown for all pages of the benchmarks."""
    found = {file.name: file.read_text() for file in sorted((ROOT / "benchmarks" / "results").glob("*.md"))}
    names = "\n".join(name.removesuffix(".md") for name in found)
    about = (
        "# Benchmarks\n\nComparisons with other libraries, measured alternately in one process.\n"
        "`python -m benchmarks.<name>` writes them. "
        "Each page lists the versions and the machine.\n\n"
    )
    return found | {"index.md": f"{about}```{{toctree}}\n:maxdepth: 1\n\n{names}\n```\n"}
