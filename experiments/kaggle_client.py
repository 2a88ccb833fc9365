"""Send a submission with the kaggle client."""

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path


def client() -> list[str] | None:
    """Command of the kaggle client; None if it is not installed."""
    if shutil.which("kaggle") is not None:
        return ["kaggle"]
    return [sys.executable, "-m", "kaggle.cli"] if find_spec("kaggle") is not None else None


def send(file: Path, slug: str | None, message: str) -> str:
    """Submit a file to a competition; the client reads its own credentials.

    Args:
        file: written and checked submission file.
        slug: name of the competition in its URL, `tgs-salt-identification-challenge`.
        message: submission message.

    Returns:
        Output of the client.

    Raises:
        SystemExit: if there is no slug or client, or the client failed; the file is kept.
    """
    not_sent = f"error: {file} is written and checked, but not sent:"
    if slug is None:
        raise SystemExit(f"{not_sent} competition.slug is not set; set it to the competition's name in its URL")
    command = client()
    if command is None:
        raise SystemExit(
            f"{not_sent} the kaggle client is not installed; pip install kaggle, or upload the file by hand"
        )
    done = subprocess.run(
        [*command, "competitions", "submit", "-c", slug, "-f", str(file), "-m", message],
        capture_output=True,
        text=True,
        check=False,
    )
    answer = "\n".join(text.strip() for text in (done.stdout, done.stderr) if text.strip())
    # Older clients return status 0 even after "Could not submit to competition" and "Could not find competition".
    if done.returncode or "could not" in answer.lower():
        raise SystemExit(f"{not_sent} the kaggle client ended with status {done.returncode}\n{answer}")
    return answer
