"""What goes wrong when a command writes to the Hub, in one sentence; what can go wrong in reading too is in `hub_reasons`."""

import contextlib
from collections.abc import Iterator

from huggingface_hub.errors import HfHubHTTPError, HFValidationError

from ..modeling_pyratok.errors import PyraTokError
from ..modeling_pyratok.hub_reasons import LOG_IN, NO_ANSWER, reason_of_hub

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
    except HfHubHTTPError as problem:
        status = problem.response.status_code
        said = (problem.server_message or str(problem)).strip().splitlines() or [f"the Hub answers {status}"]
        raise PyraTokError(f"cannot {doing}: {ADVICE.get(status, said[0])}") from problem
    except (OSError, NO_ANSWER) as problem:
        if (reason := reason_of_hub(problem)) is None:
            raise
        raise PyraTokError(f"cannot {doing}: {reason}") from problem
    except ValueError as problem:
        if isinstance(problem, PyraTokError):
            raise
        raise PyraTokError(f"cannot {doing}: {' '.join(str(problem).split())}") from problem  # of a card, for example
