"""What goes wrong between a command and the Hub, in one sentence."""

import contextlib
from collections.abc import Iterator

from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError, OfflineModeIsEnabled

from ..modeling_pyratok.errors import PyraTokError

NO_ANSWER = next(kind for kind in HfHubHTTPError.__mro__ if kind.__name__ == "HTTPError")
"""What the hub client's own client raises if nobody answers; its name has changed before."""

LOG_IN = "log in with `hf auth login`, or set HF_TOKEN, with a token that may write"
ADVICE = {
    401: f"the Hub does not know you: {LOG_IN}",
    403: f"you may not do that there: give an id under your own name, or {LOG_IN}",
    404: "the Hub has no such repository or branch, or you may not see it",
    409: "somebody else is changing the repository; try again",
    412: "somebody else has changed the repository in the meantime; try again",
    429: "the Hub asks to wait; try again later",
}


@contextlib.contextmanager
def hub_errors(doing: str) -> Iterator[None]:
    """Around work with the Hub: what huggingface_hub raises becomes a PyraTokError, "cannot `doing`: ..."."""
    try:
        yield
    except HFValidationError as problem:
        raise PyraTokError(
            f"cannot {doing}: ids are NAME or OWNER/NAME of letters, digits, '-', '_', '.'"
        ) from problem
    except LocalTokenNotFoundError as problem:
        raise PyraTokError(f"cannot {doing}: {LOG_IN}") from problem
    except OfflineModeIsEnabled as problem:
        raise PyraTokError(f"cannot {doing}: HF_HUB_OFFLINE is set, so the Hub is not asked") from problem
    except HfHubHTTPError as problem:
        status = problem.response.status_code
        said = (problem.server_message or str(problem)).strip().splitlines() or [f"the Hub answers {status}"]
        raise PyraTokError(f"cannot {doing}: {ADVICE.get(status, said[0])}") from problem
    except NO_ANSWER as problem:
        raise PyraTokError(f"cannot {doing}: the Hub does not answer ({problem}); is there a network?") from problem
    except ValueError as problem:
        if isinstance(problem, PyraTokError):
            raise
        raise PyraTokError(f"cannot {doing}: {' '.join(str(problem).split())}") from problem  # of a card, for example
