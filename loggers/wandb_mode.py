"""Whether Weights & Biases can go online, decided before it starts: its own attempt waits for minutes, then raises."""

import netrc
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

HOST = "https://api.wandb.ai"


def settle_wandb_mode(timeout: float = 8.0) -> None:
    """Set WANDB_MODE to `offline` where there is no key or no network, and say so; a mode that is set stays.

    Other ranks of a run are started later and inherit the decision.

    Args:
        timeout: seconds that the server has to answer.
    """
    if os.environ.get("WANDB_MODE") or os.environ.get("WANDB_DISABLED"):
        return
    host = os.environ.get("WANDB_BASE_URL", HOST)
    reason = None
    if not has_key(host):
        reason = f"no key for {host} in WANDB_API_KEY or .netrc"
    elif not answers(host, timeout):
        reason = f"{host} does not answer"
    if reason is not None:
        os.environ["WANDB_MODE"] = "offline"
        print(f"wandb is offline: {reason}; upload later with `wandb sync`", flush=True)


def has_key(host: str) -> bool:
    """Whether there is a key for the host in the environment or where `wandb login` leaves it."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    given = os.environ.get("NETRC")
    for file in [Path(given)] if given else [Path.home() / ".netrc", Path.home() / "_netrc"]:
        try:
            found = netrc.netrc(file).authenticators(urlsplit(host).netloc)
        except (OSError, netrc.NetrcParseError):
            continue
        if found is not None and found[2]:
            return True
    return False


def answers(host: str, timeout: float) -> bool:
    """Whether a server answers within `timeout` seconds, through a proxy where one is set; any answer counts."""
    answered: list[bool] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(host, timeout=timeout).close()
        except urllib.error.HTTPError:
            pass
        except (OSError, ValueError):
            return
        answered.append(True)

    # In a thread: looking up a name waits as long as the system likes, whatever the timeout of the connection.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(timeout)
    return bool(answered)
