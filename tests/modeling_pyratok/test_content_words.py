"""Which words of a phrase name something."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyratok.modeling_pyratok.content_words import FUNCTION_WORDS, content_words


@pytest.mark.parametrize(
    ("phrase", "words"),
    [
        ("a dog and a ball", ("dog", "ball")),
        ("A black swan, swimming along a pond's bank.", ("black", "swan", "swimming", "pond's", "bank")),
        ("Dog DOG dog", ("dog",)),
        ("t-shirt", ("t-shirt",)),
        ("ein Hund, собака, 犬", ("ein", "hund", "собака", "犬")),
        ("two snow_men", ("snow", "men")),
    ],
)
def test_words_in_order_and_each_once(phrase, words):
    assert content_words(phrase) == words


@pytest.mark.parametrize("phrase", ["", "   ", "the and of", "!?"])
def test_a_phrase_without_content_is_refused(phrase):
    with pytest.raises(ValueError, match="no word that names something"):
        content_words(phrase)
    with pytest.raises(TypeError, match="a phrase is a string, got list"):
        content_words(["a dog"])


@given(st.lists(st.sampled_from(["dog", "ball", "tree", *sorted(FUNCTION_WORDS)]), max_size=12))
def test_function_words_never_come_back_and_content_words_always_do(words):
    wanted = tuple(dict.fromkeys(word for word in words if word not in FUNCTION_WORDS))
    if wanted:
        assert content_words(" ".join(words)) == wanted
