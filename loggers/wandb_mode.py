"""Online or offline mode of Weights & Biases, set in advance: without network wandb waits for minutes, then fails."""

import netrc
import os
import threading
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

HOST = "https://api.wandb.ai"


def settle_wandb_mode(timeout: float = 8.0) -> None:
    """Set WANDB_MODE to `offline`, with a message, if there is no key or no network; an existing mode is kept.

    Other ranks of a run are started later and inherit the mode.

    Args:
        timeout: time limit for the server's response in seconds.
    """
    if os.environ.get("WANDB_MODE") or os.environ.get("WANDB_DISABLED"):
        return
    host = os.environ.get("WANDB_BASE_URL", HOST)
    reason = None
    if not has_key(host):
        reason = f"no key for {host} in WANDB_API_KEY or .netrc"
    elif not answers(host, timeout):
        reason = f"{host} does not respond"
    if reason is not None:
        os.environ["WANDB_MODE"] = "offline"
        print(f"wandb is offline: {reason}; upload the run later with `wandb sync`", flush=True)


def has_key(host: str) -> bool:
    """Whether there is a key for the host in the environment or the .netrc file of `wandb login`."""
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
    """Whether a server responds within `timeout` seconds, through the proxy if one is set; any response counts."""
    answered: list[bool] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(host, timeout=timeout).close()
        except urllib.error.HTTPError:
            pass
        except (OSError, ValueError):
            return
        answered.append(True)

    # In a thread, because DNS lookup ignores the timeout of the connection.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(timeout)
    return bool(answered)
