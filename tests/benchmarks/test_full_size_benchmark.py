"""The benchmark of the full-size model, on the tiny one."""

from full_size import clip, round_trip
from measuring import in_own_process

from pyratok import PyraTokConfig

TINY = {
    name: getattr(PyraTokConfig.tiny(), name)
    for name in ("backbone_config", "level_stages", "level_strides", "hidden_size", "text_hidden_size", "lora_rank")
}


def test_the_round_trip_and_the_clip_run_in_processes_of_their_own():
    rows, megabytes = in_own_process(round_trip, TINY)
    values = dict(rows)
    assert values["the VAE's weights kept bit for bit"] == values["saved and loaded: same fingerprint"] == "True"
    assert megabytes > 0
    rows, megabytes = in_own_process(clip, TINY, 5, 32)
    values = dict(rows)
    assert values["decoded shape, finite"] == "(1, 5, 3, 32, 32), True" and megabytes > 0
