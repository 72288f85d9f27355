"""Vectors of videos: I3D from a TorchScript file, and features that need no download and see time."""

import sys
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from pyratok import PyraTokError, read_video
from pyratok.evaluation.video_features import EfficientNetFeatures, I3DFeatures
from pyratok.modeling_pyratok.pixel_values import frames_to_values


class PublishedForm(nn.Module):
    """Called as i3d_torchscript.pt is; the features tell which options were given, and in which range the pixels came."""

    def forward(self, x: torch.Tensor, rescale: bool = True, resize: bool = True, return_features: bool = False):
        flags = torch.tensor([float(rescale), float(resize), float(return_features)]).expand(x.shape[0], 3)
        sizes = torch.tensor([float(x.shape[1]), float(x.shape[2]), float(x.shape[3]), float(x.shape[4])])
        means = x.mean(dim=(1, 2, 3, 4))[:, None]
        return torch.cat((flags, sizes.expand(x.shape[0], 4), means), dim=1)


class Plain(nn.Module):
    """A network without options, in double precision, that wants at least four frames."""

    def forward(self, x: torch.Tensor):
        assert x.shape[2] >= 4, "too few frames"
        return x.mean(dim=(3, 4)).flatten(1)[:, :5].double()


class Silent(nn.Module):
    @torch.jit.export
    def features(self, x: torch.Tensor):
        return x


class FourDimensions(nn.Module):
    def forward(self, x: torch.Tensor):
        return x[:, 0]


def saved(network: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.script(network).save(str(path))
    return path


@pytest.fixture(scope="module")
def efficientnet() -> EfficientNetFeatures:
    return EfficientNetFeatures()


def test_i3d_is_called_as_it_is_published(tmp_path):
    features = I3DFeatures(saved(PublishedForm(), tmp_path / "i3d_torchscript.pt"), num_frames=5)
    assert (features.distance_name, features.num_features) == ("FVD (I3D of the user)", 8)
    with torch.no_grad():
        found = features(torch.stack((torch.full((5, 3, 30, 40), -1.0), torch.ones(5, 3, 30, 40))))
    assert found.tolist() == [[0, 0, 1, 3, 5, 224, 224, -1], [0, 0, 1, 3, 5, 224, 224, 1]]


def test_i3d_without_options_works_and_gives_floats(tmp_path):
    features = I3DFeatures(saved(Plain(), tmp_path / "i3d.pt"), num_frames=4)
    assert features.num_features == 5 and features(torch.zeros(2, 4, 3, 224, 224)).dtype == torch.float32


def test_i3d_does_not_warn_of_what_the_user_cannot_change(tmp_path):
    path = saved(Plain(), tmp_path / "i3d.pt")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        I3DFeatures(path)


def test_files_that_are_no_i3d_are_refused(tmp_path):
    with pytest.raises(PyraTokError, match="none.pt' is no file"):
        I3DFeatures(tmp_path / "none.pt")
    (tmp_path / "text.pt").write_text("not a network")
    with pytest.raises(PyraTokError, match="text.pt' is no TorchScript file"):
        I3DFeatures(tmp_path / "text.pt")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "weights.pt")
    with pytest.raises(PyraTokError, match="weights.pt' is no TorchScript file.*weights alone are not enough"):
        I3DFeatures(tmp_path / "weights.pt")
    with pytest.raises(PyraTokError, match="cannot take clips of 3 frames of 224x224.*too few frames"):
        I3DFeatures(saved(Plain(), tmp_path / "plain.pt"), num_frames=3)
    with pytest.raises(PyraTokError, match=r"has to give \(1, features\), it gives \(1, 16, 224, 224\)"):
        I3DFeatures(saved(FourDimensions(), tmp_path / "four.pt"))
    with pytest.raises(PyraTokError, match="without a method `forward`"):
        I3DFeatures(saved(Silent(), tmp_path / "silent.pt"))


def test_a_pickled_program_is_not_run(tmp_path):
    """A file that runs code when Python unpickles it."""

    class Mark:
        def __reduce__(self):
            return exec, (f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()",)

    torch.save(Mark(), tmp_path / "evil.pt")
    with pytest.raises(PyraTokError, match="is no TorchScript file"):
        I3DFeatures(tmp_path / "evil.pt")
    assert not (tmp_path / "ran").exists()


def test_efficientnet_features_are_means_and_changes(efficientnet, clips):
    clip = frames_to_values(read_video(clips["dog"], max_frames=4)[0])[None, ..., :96, :96]
    with torch.no_grad():
        found = efficientnet(clip)
        maps = [efficientnet.network(frame[None])[0] for frame in clip[0]]  # each (112, 6, 6)
    assert found.shape == (1, efficientnet.num_features) == (1, 224)
    seen = sum(frame.mean(dim=(1, 2)) for frame in maps) / 4
    moved = sum((b - a).abs().mean(dim=(1, 2)) for a, b in zip(maps, maps[1:], strict=False)) / 3
    torch.testing.assert_close(found[0], torch.cat((seen, moved)), rtol=1e-4, atol=1e-5)
    assert efficientnet.distance_name == "Frechet distance (EfficientNet-Lite0)"


def test_efficientnet_features_see_the_order_of_frames(efficientnet, clips):
    clip = frames_to_values(read_video(clips["city"], max_frames=8)[0])[None, ..., :96, :96]
    with torch.no_grad():
        ordered, shuffled, frozen = (
            efficientnet(frames)[0]
            for frames in (clip, clip[:, [0, 4, 1, 5, 2, 6, 3, 7]], clip[:, :1].expand_as(clip))
        )
    torch.testing.assert_close(ordered[:112], shuffled[:112], rtol=1e-4, atol=1e-4)
    assert shuffled[112:].sum() > 1.2 * ordered[112:].sum() > 0
    assert torch.all(frozen[112:] < 1e-4)


def test_one_frame_of_any_size(efficientnet):
    with torch.no_grad():
        for height, width in ((1, 1), (7, 33)):
            found = efficientnet(torch.zeros(2, 1, 3, height, width))
            assert found.shape == (2, 224) and torch.isfinite(found).all() and not found[:, 112:].any()


def test_torchvision_is_not_needed():
    assert "torchvision" not in sys.modules
