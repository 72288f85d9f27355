"""Errors that are meant for people: the command line prints their message and exits with code 2, without a traceback."""


def system_reason(problem: OSError) -> str:
    """What the operating system says, without the error number and the path, to go on with after a colon."""
    return (problem.strerror or str(problem)).lower()


class PyraTokError(ValueError):
    """A problem with what the user gave: the message says what was wrong, with which value, and what to do."""


class VideoReadError(PyraTokError):
    """A video or an image that cannot be read to its end."""


class VideoWriteError(PyraTokError):
    """A video or a picture that cannot be written; nothing is left at the target."""


class TokenFileError(PyraTokError):
    """A token file that is damaged, is none, or does not fit the model that is asked to decode it."""
