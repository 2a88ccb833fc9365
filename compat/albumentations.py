"""Messages of albumentations 2.0.8. `pyproject.toml` keeps it below 2.1."""


def is_about_channels(error: TypeError) -> bool:
    """Whether a transform rejects an image for its number of channels; albumentations has no error class for this."""
    return "channel" in str(error)
