"""What is wrong with data to train on."""

from ..modeling_pyratok.errors import PyraTokError


class DataError(PyraTokError):
    """Data that hold nothing to train on, that cannot be read, or that are laid out in a way that is not understood."""
