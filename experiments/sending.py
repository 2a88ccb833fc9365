"""A submission on its way: the kaggle client, where it is installed."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path


def client() -> list[str] | None:
    """The command of the kaggle client; None where there is none."""
    if shutil.which("kaggle") is not None:
        return ["kaggle"]
    return [sys.executable, "-m", "kaggle.cli"] if find_spec("kaggle") is not None else None


def send(file: Path, slug: str | None, message: str) -> str:
    """Submit a file to a competition; the client reads its own credentials.

    Args:
        file: the written and checked submission.
        slug: the competition's name in its address, `tgs-salt-identification-challenge`.
        message: what stands beside the score.

    Returns:
        What the client answered.

    Raises:
        SystemExit: no slug, no client, or one that failed; says that the file is there and was not sent.
    """
    not_sent = f"error: {file} is written and checked, but not sent:"
    if slug is None:
        raise SystemExit(f"{not_sent} competition.slug is not set; it is the competition's name in its address")
    command = client()
    if command is None:
        raise SystemExit(f"{not_sent} there is no kaggle client; pip install kaggle, or upload the file by hand")
    done = subprocess.run(
        [*command, "competitions", "submit", "-c", slug, "-f", str(file), "-m", message],
        capture_output=True,
        text=True,
        check=False,
    )
    answer = "\n".join(text.strip() for text in (done.stdout, done.stderr) if text.strip())
    # Older clients end with status 0 after "Could not submit to competition" and "Could not find competition" too.
    if done.returncode or "could not" in answer.lower():
        raise SystemExit(f"{not_sent} the kaggle client ended with status {done.returncode}\n{answer}")
    return answer
