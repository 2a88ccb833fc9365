"""The results that `python -m benchmarks.<name>` wrote, as pages."""

from docs.generate.objects import ROOT


def pages() -> dict[str, str]:
    """Name of a file in the benchmarks' folder -> its Markdown."""
    found = {file.name: file.read_text() for file in sorted((ROOT / "benchmarks" / "results").glob("*.md"))}
    names = "\n".join(name.removesuffix(".md") for name in found)
    about = (
        "# Benchmarks\n\nMeasured side by side with peers, in one process by turns, by `python -m benchmarks.<name>`.\n"
        "Each page names the versions and the machine.\n\n"
    )
    return found | {"index.md": f"{about}```{{toctree}}\n:maxdepth: 1\n\n{names}\n```\n"}
