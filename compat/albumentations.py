"""What albumentations says, as it is in 2.0.8. `pyproject.toml` keeps it below 2.1."""


def is_about_channels(error: TypeError) -> bool:
    """Whether a transform refuses an image for its number of channels; it has no class of error for that."""
    return "channel" in str(error)
