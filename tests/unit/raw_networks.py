"""Small networks whose raw output is not a table of class scores."""

import torch
import torch.nn.functional as F
from networks import SIZE, settle
from torch import nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.rpn import AnchorGenerator

from xai_widgets.core.model import ImageModel

CLASSES = 4


def seeded(make, *args, **kwargs):
    torch.manual_seed(0)
    return settle(make(*args, **kwargs))


class Segmenter(nn.Module):
    """An encoder and a decoder, like the networks of torchvision: a dict with logits of the size of the image."""

    def __init__(self, classes=CLASSES):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(6)
        self.pool = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1)
        self.relu = nn.ReLU()
        self.head = nn.Conv2d(8, classes, 1)

    def forward(self, x):
        features = self.pool(F.relu(self.bn1(self.conv1(x))))
        logits = self.head(self.relu(self.conv2(features)))
        return {
            "out": F.interpolate(logits, x.shape[2:], mode="bilinear", align_corners=False),
            "aux": features,
        }


class Detector(nn.Module):
    """A detector like DETR: logits and boxes of one query per position."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.body = nn.Conv2d(6, 8, 3, padding=1)
        self.logits = nn.Conv2d(8, CLASSES + 1, 1)
        self.boxes = nn.Conv2d(8, 4, 1)

    def forward(self, x):
        features = F.relu(self.body(F.relu(self.stem(x))))
        return {
            "logits": self.logits(features).flatten(2).transpose(1, 2),
            "pred_boxes": self.boxes(features).flatten(2).transpose(1, 2).sigmoid(),
        }


class Regression(nn.Module):
    """Two numbers of any sign."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.relu = nn.ReLU()
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(6 * (SIZE // 2) ** 2, 2)

    def forward(self, x):
        return self.fc(self.pool(self.relu(self.conv(x))).flatten(1))


class Embedder(nn.Module):
    """An embedding of the image beside its features, like the image tower of CLIP."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.relu = nn.ReLU()
        self.project = nn.Linear(6, 5)

    def forward(self, x):
        features = self.relu(self.conv(x))
        return {"last_hidden_state": features, "image_embeds": self.project(features.mean((2, 3)))}


class Tiny(nn.Module):
    """The backbone of a detector of torchvision."""

    def __init__(self):
        super().__init__()
        self.out_channels = 8
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 8, 3, stride=2, padding=1)

    def forward(self, x):
        return self.conv2(self.conv1(x).relu()).relu()


def box_detector(size=32):
    """Return a Faster R-CNN of torchvision with a tiny backbone."""
    anchors = AnchorGenerator(sizes=((8, 16),), aspect_ratios=((1.0,),))
    return FasterRCNN(
        Tiny(), CLASSES, min_size=size, max_size=size, rpn_anchor_generator=anchors, box_score_thresh=0.0,
        rpn_post_nms_top_n_test=12, box_detections_per_img=8, image_mean=[0.0] * 3, image_std=[1.0] * 3,
    )  # fmt: skip


def wrapped(network, targets, **options):
    return ImageModel(network, **({"size": SIZE, "targets": targets} | options))
