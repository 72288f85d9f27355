"""The figures of `benchmarks/generation.py` on cases whose answer is known."""

from types import SimpleNamespace

import pytest
import torch
from generation import COLUMNS, PROMPTS, contact_sheet, figures_of


class Judge:
    """Sees the prompt that a video's only code names."""

    def embed_video(self, codes: list[torch.Tensor]) -> torch.Tensor:
        return torch.eye(len(PROMPTS))[codes[0].flatten()]


def videos_of(numbers: list[int]) -> list[SimpleNamespace]:
    return [SimpleNamespace(video_codes=(torch.tensor([[[[number]]]]),)) for number in numbers]


def test_right_and_wrong_videos():
    numbers = [number for number in range(len(PROMPTS)) for _ in range(2)]
    text = torch.eye(len(PROMPTS))
    figures = figures_of(Judge(), videos_of(numbers), text, 2)
    assert figures == {"right prompt first": 1, "wrong prompts below the right one": 1, "mean rank": 1}
    wrong = figures_of(Judge(), videos_of([(number + 1) % len(PROMPTS) for number in numbers]), text, 2)
    assert wrong["right prompt first"] == wrong["wrong prompts below the right one"] == 0
    assert wrong["mean rank"] == pytest.approx(len(PROMPTS))


def test_a_contact_sheet_has_a_row_for_each_prompt():
    frames = torch.zeros(2 * len(PROMPTS), 9, 3, 16, 24)
    frames[2] = 1.0  # the first video of the second prompt
    sheet = contact_sheet(frames, 2)
    width, height = sheet.size
    assert width % COLUMNS == 0 and height % len(PROMPTS) == 0
    row = height // len(PROMPTS)
    assert sheet.getpixel((5, row - 5)) == (0, 0, 0) and sheet.getpixel((5, 2 * row - 5)) == (255, 255, 255)
