"""What the Hub is asked before anything is made there, so that a push that cannot be leaves nothing behind."""

from huggingface_hub import HfApi, get_session
from huggingface_hub.errors import BadRequestError, RepositoryNotFoundError
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

from .errors import PyraTokError


def full_id(api: HfApi, repo_id: str) -> str:
    """`OWNER/NAME`; a name alone is one under the name of whoever is logged in. Raises what huggingface_hub raises."""
    return repo_id if "/" in repo_id else f"{api.whoami()['name']}/{repo_id}"


def check_not_public(api: HfApi, repo_id: str, kind: str = "model") -> None:
    """Raise PyraTokError if a repository, by its full id, is there and is public: nothing private may go into it.

    The client itself takes `private=True` for new repositories alone, and says nothing of others.
    """
    try:
        is_public = not api.repo_info(repo_id, repo_type=kind).private
    except RepositoryNotFoundError:
        return
    if is_public:
        raise PyraTokError(
            f"the {kind} {repo_id!r} is there and is public; push elsewhere, or do not ask for a private one"
        )


def check_card(api: HfApi, text: str) -> None:
    """Raise PyraTokError if the Hub refuses a model's README.md for its metadata, and what huggingface_hub raises."""
    answer = get_session().post(
        f"{api.endpoint}/api/validate-yaml",
        json={"content": text, "repoType": "model"},
        headers=build_hf_headers(token=api.token),
    )
    try:
        hf_raise_for_status(answer)
    except BadRequestError as problem:
        reasons = "; ".join(str(error.get("message")) for error in answer.json().get("errors", []))
        raise PyraTokError(f"the Hub refuses the metadata of the card, README.md: {reasons or problem}") from problem
