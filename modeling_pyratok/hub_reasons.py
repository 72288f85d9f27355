"""What stands behind an error with the Hub, for people."""

from huggingface_hub import constants
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

NO_ANSWER = next(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")
"""What the hub client's own client raises if nobody answers; its name has changed before."""

LOG_IN = "log in with `hf auth login`, or set HF_TOKEN, with a token that may write"


def reason_of_hub(problem: BaseException) -> str | None:
    """The sense of an error of the hub client, or of one that a library made of it; None for any other error."""
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, RevisionNotFoundError):
            return "the Hub has no such revision of it"
        if isinstance(cause, RepositoryNotFoundError):
            return "the Hub has no such repository, or not for you; if it is private, log in with `hf auth login`"
        if isinstance(cause, LocalEntryNotFoundError):
            why = "HF_HUB_OFFLINE is set" if constants.is_offline_mode() else "the Hub does not answer"
            return f"it is not in the local cache, and {why}"
        if isinstance(cause, LocalTokenNotFoundError):
            return LOG_IN
        if isinstance(cause, OfflineModeIsEnabled):
            return "HF_HUB_OFFLINE is set, so the Hub is not asked"
        if isinstance(cause, NO_ANSWER) and not isinstance(cause, HfHubHTTPError):
            return f"the Hub does not answer ({cause}); is there a network?"
        cause = cause.__cause__
    return None
