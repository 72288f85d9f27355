"""Sizes of clips: what is asked for, rounded, and drawn the same everywhere."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyratok.training.clip_buckets import BucketError, ClipBucket, bucket_of_batch, buckets_for

RATIOS = ["1:1", "4:3", "3:2", "16:9", "2:1"]


def test_the_sizes_of_the_paper():
    buckets = buckets_for([512], RATIOS, [17], 2 * 17 * 512 * 512, 16)
    assert [(b.height, b.width, b.batch_size) for b in buckets] == [
        (512, 512, 2),
        (448, 592, 1),
        (416, 624, 2),
        (384, 688, 1),
        (368, 720, 1),
    ]
    portrait = [":".join(reversed(ratio.split(":"))) for ratio in RATIOS]
    turned = buckets_for([512], portrait, [17], 2 * 17 * 512 * 512, 16)
    assert [(b.width, b.height, b.batch_size) for b in turned] == [(b.height, b.width, b.batch_size) for b in buckets]


@given(
    sides=st.lists(st.integers(16, 1024), min_size=1, max_size=3),
    ratios=st.lists(st.sampled_from([*RATIOS, "9:16", "3:4"]), min_size=1),
    counts=st.lists(st.integers(0, 24).map(lambda k: 4 * k + 1), min_size=1, max_size=3),
    pixels=st.integers(1, 10**8),
    multiple=st.sampled_from([1, 8, 16, 32]),
)
def test_sizes_and_batches(sides, ratios, counts, pixels, multiple):
    buckets = buckets_for(sides, ratios, counts, pixels, multiple)
    shapes = [(b.num_frames, b.height, b.width) for b in buckets]
    assert len(set(shapes)) == len(shapes)
    assert {frames for frames, _, _ in shapes} == set(counts)
    for bucket in buckets:
        clip = bucket.num_frames * bucket.height * bucket.width
        assert bucket.height % multiple == bucket.width % multiple == 0
        assert bucket.batch_size == 1 or pixels / 2 < clip * bucket.batch_size <= pixels
        assert any(
            abs(bucket.width - side * eval_ratio(ratio) ** 0.5) <= multiple / 2 or bucket.width == multiple
            for side in sides
            for ratio in ratios
        )


def eval_ratio(text: str) -> float:
    width, height = map(int, text.split(":"))
    return width / height


def test_every_process_draws_the_same_buckets_by_weight():
    buckets = (ClipBucket(1, 8, 8, 1), ClipBucket(5, 8, 8, 1, weight=3.0))
    drawn = [bucket_of_batch(buckets, 7, number) for number in range(400)]
    assert drawn == [bucket_of_batch(buckets, 7, number) for number in range(400)]
    assert drawn != [bucket_of_batch(buckets, 8, number) for number in range(400)]
    assert 250 < Counter(bucket.num_frames for bucket in drawn)[5] < 350


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frame_counts": [17, 18]}, "4k \\+ 1\\), got 18"),
        ({"frame_counts": [0]}, "got 0"),
        ({"aspect_ratios": ["16x9"]}, "written as 16:9 .* got '16x9'"),
        ({"aspect_ratios": ["1:0"]}, "got '1:0'"),
        ({"sides": [0]}, "a side must be at least 1 pixel, got 0"),
        ({"sides": []}, "at least one side"),
        ({"multiple": 0}, "at least 1, got 0"),
    ],
)
def test_wrong_sizes(changes, message):
    given = {"sides": [64], "aspect_ratios": ["1:1"], "frame_counts": [17], "pixels_per_batch": 10**6, "multiple": 16}
    with pytest.raises(BucketError, match=message):
        buckets_for(**{**given, **changes})


@pytest.mark.parametrize(
    "sizes", [(0, 8, 8, 1), (1, 0, 8, 1), (1, 8, 8, 0), (1, 8, 8, 1, 0.0), (1, 8, 8, 1, float("nan"))]
)
def test_wrong_buckets(sizes):
    with pytest.raises(BucketError, match="a bucket needs"):
        ClipBucket(*sizes)
