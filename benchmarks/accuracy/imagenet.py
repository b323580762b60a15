#!/usr/bin/env python
"""ImageNet accuracy of a ResNet-50 whose ReLUs become counts, without or with a short training.

  python -m benchmarks.accuracy.imagenet resnet50_caffe_rgb.pth --data data/imagenet1000 --counts 1 2 4 8 16
  python -m benchmarks.accuracy.imagenet resnet50_caffe_rgb.pth --counts 4 --epochs 3  # and a distillation

The script needs the weights of a ResNet-50 with caffe's strides under torchvision's names (RGB,
mean and std of ImageNet), and a folder with one image of each class, sorted like the classes. A
seed splits the images: some serve to fit thresholds (and BatchNorm's statistics), others to test.
The labels of the former are not used. Thresholds are per channel, or per layer (--by layer).

--epochs N distils the student on all images that are not tested on, without their labels: from the
ANN's features (PKD) and its scores (KL, tau 2), in random crops and flips, with AdamW.
"""

import argparse
import sys
import time
from pathlib import Path

import torch
from mmdet.models import ResNet
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms import functional as images_of

from benchmarks.lib.measure import machine, write_json
from sakd_dense.backbones import SEWResNet, SpikingResNet
from sakd_dense.distill.losses.pkd import FeaturePKD
from sakd_dense.distill.responses.divergence import softmax_kl
from sakd_dense.transfer import calibrate, load_safely, reestimate

FAMILIES = {"Spiking": SpikingResNet, "SEW": SEWResNet}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH = 10


class Classifier(nn.Module):
    """A backbone and ImageNet's linear layer."""

    def __init__(self, backbone: nn.Module, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.backbone = backbone
        self.fc = nn.Linear(2048, 1000)
        self.fc.load_state_dict({k: state[f"fc.{k}"] for k in ("weight", "bias")})
        missing, unexpected = backbone.load_state_dict(
            {k: v for k, v in state.items() if not k.startswith("fc.")}, strict=False
        )
        wrong = [k for k in missing if not k.endswith("threshold")] + list(unexpected)
        if wrong:
            raise SystemExit(f"these keys do not fit a ResNet-50: {', '.join(wrong[:6])}")
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.with_features(x)[0]

    def with_features(self, x: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        features = self.backbone(x)
        return self.fc(features[-1].mean((2, 3))), features


def picture(file: Path, augmented: bool = False) -> Tensor:
    """Returns the central 224x224 of an image whose shorter side is resized to 256.

    If ``augmented``, returns a random crop instead, which is flipped half of the time.
    """
    image = Image.open(file).convert("RGB")
    if augmented:
        box = RandomResizedCrop.get_params(image, scale=[0.35, 1.0], ratio=[0.75, 1.33])
        image = images_of.resized_crop(image, *box, [224, 224])
        image = images_of.hflip(image) if torch.rand(()) < 0.5 else image
    else:
        image = images_of.center_crop(images_of.resize(image, 256), 224)
    return images_of.normalize(images_of.to_tensor(image), MEAN, STD)


def distil(student: Classifier, ann: Classifier, files: list[Path], epochs: int, lr: float) -> None:
    """Trains ``student`` on the features and scores of ``ann`` on ``files``, without labels."""
    batches = [batch for _ in range(epochs) for batch in torch.randperm(len(files)).split(BATCH)]
    steps = len(batches)
    optimizer = torch.optim.AdamW(student.parameters(), lr=lr, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, total_steps=steps)
    features_differ = FeaturePKD()
    # BatchNorm keeps the re-estimated statistics: those of ten images are noise.
    for step, batch in enumerate(batches):
        x = torch.stack([picture(files[i], augmented=True) for i in batch])
        with torch.no_grad():
            wanted, theirs = ann.with_features(x)
        scores, ours = student.with_features(x)
        by_scores = softmax_kl(scores, wanted, tau=2.0).mean()
        by_features = sum(features_differ(a, b) for a, b in zip(ours, theirs, strict=True))
        optimizer.zero_grad()
        (by_scores + by_features).backward()
        optimizer.step()
        schedule.step()
        if step % 10 == 0:
            print(f"  step {step}/{steps}: {by_scores:.3f} {by_features:.3f}", file=sys.stderr)


@torch.no_grad()
def top1(model: nn.Module, files: list[Path], labels: list[int]) -> float:
    """Returns the accuracy in per cent."""
    right = 0
    for i in range(0, len(files), BATCH):
        x = torch.stack([picture(f) for f in files[i : i + BATCH]])
        wanted = torch.tensor(labels[i : i + BATCH])
        right += int((model(x).argmax(1) == wanted).sum())
    return 100 * right / len(files)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights")
    parser.add_argument("--data", type=Path, default=Path("data/imagenet1000"))
    parser.add_argument("--counts", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--family", choices=FAMILIES, default="Spiking")
    parser.add_argument("--by", choices=("channel", "layer"), default="channel")
    parser.add_argument("--calibrate", type=int, default=100, help="pictures (default: 100)")
    parser.add_argument("--images", type=int, default=300, help="to test on (default: 300)")
    parser.add_argument("--epochs", type=int, default=0, help="of distillation (default: none)")
    parser.add_argument("--lr", type=float, default=1e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", metavar="JSON")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    files = sorted(p for p in args.data.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    if len(files) != 1000:
        raise SystemExit(f"--data {args.data}: {len(files)} pictures; one of each class is needed")
    order = torch.randperm(1000, generator=torch.Generator().manual_seed(args.seed)).tolist()
    fitted, tested = order[: args.calibrate], order[-args.images :]
    chosen = [files[i] for i in tested]
    state = load_safely(args.weights)
    state = state.get("state_dict", state)
    state = {k.removeprefix("backbone.").removeprefix("head."): v for k, v in state.items()}
    ann = Classifier(ResNet(50, style="caffe", norm_cfg=dict(type="BN")), state)
    untested = [files[i] for i in order[: -args.images]]
    torch.manual_seed(args.seed)
    rows = [["ANN", top1(ann, chosen, tested)]]
    heads = ["D", "top-1, BatchNorm as it was", "re-estimated", f"distilled, {args.epochs} epochs"]
    heads = heads[: 4 if args.epochs else 3]
    print("| " + " | ".join(heads) + " |" + "\n" + "|---" * len(heads) + "|", flush=True)
    print(f"| ANN | {rows[0][1]:.1f} |" + " |" * (len(heads) - 2), flush=True)
    batches = [
        (torch.stack([picture(files[i]) for i in fitted[j : j + BATCH]]),)
        for j in range(0, len(fitted), BATCH)
    ]
    start = time.perf_counter()
    for most in args.counts:
        node = dict(type="NILIFNode", D=most)
        backbone = FAMILIES[args.family](50, style="caffe", time_steps=1, neuron=node)
        model = Classifier(backbone, state)
        calibrate(model, batches, len(batches), by=args.by)
        row = [str(most), top1(model, chosen, tested)]
        reestimate(model, batches, len(batches))
        row.append(top1(model, chosen, tested))
        if args.epochs:
            distil(model, ann, untested, args.epochs, args.lr)
            row.append(top1(model, chosen, tested))
        rows.append(row)
        print(f"| {most} | " + " | ".join(f"{v:.1f}" for v in row[1:]) + " |", flush=True)
    print(f"\n{time.perf_counter() - start:.0f} s, {vars(args)}")
    if args.out:
        write_json(args.out, dict(rows=rows, arguments=str(vars(args)), machine=machine()))


if __name__ == "__main__":
    main()
