"""Whatever the hub client raises while a command writes to the Hub, and nothing else, becomes one sentence."""

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError, LocalTokenNotFoundError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id

import pyratok
from pyratok.commands.hub_errors import hub_errors
from pyratok.modeling_pyratok.hub_reasons import NO_ANSWER


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (LocalEntryNotFoundError("no such file\nand more"), "it is not in the local cache, and "),
        (LocalTokenNotFoundError("no token"), "log in with `hf auth login`"),
        (OfflineModeIsEnabled("offline"), "HF_HUB_OFFLINE is set, so the Hub is not asked"),
        (NO_ANSWER("refused"), "the Hub does not answer (refused); is there a network?"),
        (ValueError("of a\ncard"), "of a card"),
    ],
)
def test_errors_of_the_hub_client_are_said_in_one_sentence(problem, reason):
    with pytest.raises(pyratok.PyraTokError, match="^cannot push: ") as said, hub_errors("push"):
        raise problem
    assert reason in str(said.value) and "\n" not in str(said.value) and said.value.__cause__ is problem


def test_an_id_that_is_none_is_said():
    with pytest.raises(pyratok.PyraTokError, match="cannot push: ids are NAME or OWNER/NAME"), hub_errors("push"):
        validate_repo_id("a/b/c")


@pytest.mark.parametrize(
    "problem", [FileNotFoundError(2, "not there", "films"), pyratok.PyraTokError("mine"), KeyError("a")]
)
def test_other_errors_pass(problem):
    with pytest.raises(type(problem)) as passed, hub_errors("push"):
        raise problem
    assert passed.value is problem
