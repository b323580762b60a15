"""The arms of the comparison: a student's start, its teacher and its neuron.

Without `hook` and `level1` a student starts from scratch. Settings that an arm does not name are
those of the shipped config, except for the neuron: without one, it is `LIF`, which starts at rest.
"""

from typing import Any

# The neurons that were compared. The shipped configs use DEFAULT_NEURON, that of `INIT`.
IF = dict(
    type="IFNode",
    v_threshold=1.0,
    v_reset=None,
    detach_reset=True,
    surrogate_function=dict(type="ATan", alpha=2.0),
)
# The same neuron, with an initial potential of half the threshold: not biased to silence at low T.
HALF = dict(IF, v_init=0.5)
LIF = {**IF, "type": "LIFNode", "tau": 2.0, "decay_input": False}
INIT = dict(backbone=dict(neuron=dict(LIF, v_init=0.5)))

PKD = dict(type="FeaturePKD", weight=1.0)
MSE = dict(type="FeatureMSE", weight=1.0)
CWD = dict(type="FeatureCWD", weight=1.0)
CLASSWISE = dict(loss="cwd", tau=4.0, decode=3.0, aux=1.2)


def both(features: dict[str, Any] = PKD, **hook: Any) -> dict[str, Any]:
    """Returns an arm with both levels at T, without prefixes."""
    return dict(hook=dict(features=features, prefixes=None, **hook))


def sakd(weight: float = 8.0, features: dict[str, Any] = PKD, **hook: Any) -> dict[str, Any]:
    """Returns an arm with both levels and prefixes."""
    return dict(hook=dict(dict(features=features, prefixes="random", prefix_weight=weight), **hook))


def early(share: float = 0.5, **hook: Any) -> dict[str, Any]:
    """Returns an arm with both levels that only reads a share of the images at a t < T."""
    prefixes = dict(type="image", share=share)
    return dict(hook={**dict(features=PKD, prefixes=prefixes, prefix_weight=0.0), **hook})


def neuron(cfg: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return dict(level1=True, epochs=6, backbone=dict(neuron={**cfg, **changes}))


def counts(
    most: int = 4,
    kind: str = "SpikingResNet",
    threshold: dict[str, Any] | None = None,
    time_steps: int = 1,
    backbone: dict[str, Any] | None = None,
    **hook: Any,
) -> dict[str, Any]:
    """Returns an arm with both levels for neurons that fire up to ``most`` spikes per time step."""
    node = dict(type="NILIFNode", D=most, **(threshold or {}))
    backbone = dict(dict(type=kind, time_steps=time_steps, neuron=node), **(backbone or {}))
    return dict(hook=dict(dict(features=PKD, prefixes=None), **hook), backbone=backbone)


def several(kind: str = "SpikingResNet", **hook: Any) -> dict[str, Any]:
    """Returns an arm that draws a D of `SEVERAL` in each iteration and is tested at all of them."""
    return dict(counts(4, kind, counts=SEVERAL, **hook), read_counts=SEVERAL)


def official(adaptor: int = 3, epochs: int = 16, **hook: Any) -> dict[str, Any]:
    """Returns the authors' CIFAR recipe (configs/spiking-resnet18_sakd-official_cifar10.py)."""
    features = dict(MSE, weight=400.0, adaptor=adaptor)
    neuron = dict(IF, type="LIFNode", tau=2.0, decay_input=False, v_reset=0.0)
    return dict(
        both(features, **dict(dict(responses=None, transfer=False), **hook)),
        backbone=dict(type="SpikingResNet", neuron=neuron),
        optimizer=dict(type="SGD", lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4),
        batch_size=128,
        epochs=epochs,
    )


def untrained(
    most: int, kind: str = "SpikingResNet", reestimate: bool = True, time_steps: int = 1
) -> dict[str, Any]:
    """Returns an arm with level 1 only: ``tools/transfer.py`` with its arguments, no iteration."""
    arguments = ["--calibrate", "10", *(["--reestimate-bn", "10"] if reestimate else [])]
    return dict(counts(most, kind, time_steps=time_steps), epochs=0, untrained=arguments)


def imagenet(arm: dict[str, Any] | None = None) -> dict[str, Any]:
    """Returns an arm with ImageNet's weights, without a teacher, with the neurons of ``arm``."""
    weights = dict(type="Pretrained", checkpoint="data/resnet50_imagenet_caffe_mmdet.pth")
    return dict(backbone=dict((arm or {}).get("backbone", {}), init_cfg=weights))


SEVERAL = (1, 2, 4, 8)
REESTIMATE = dict(type="ReestimateBatchNormHook", num_batches=10)
SEW = "SEWResNet"
TENTH_LONG = dict(images=20, epochs=104)
CAMVID_TENTH_LONG = dict(images=37, epochs=119)
ARMS: dict[str, dict[str, Any]] = {
    "teacher": {},
    "scratch": {},
    "level1": dict(level1=True),
    "level2": both(transfer=False),
    "both": both(),
    "both-mse": both(MSE),
    "both-cwd": both(CWD),
    # Adaptors before the feature loss.
    "both-adaptor": both(dict(MSE, adaptor=1)),
    "sakd": sakd(),
    # The authors' script; the same with their KL of logits and level 1, which the script omits; and
    # ours for the same number of epochs.
    "official": official(),
    "official-both": official(responses=dict(cls=1.0, tau=4.0), transfer=True),
    "both-16ep": dict(both(), epochs=16),
    "official-12ep": official(epochs=12),
    "official-both-12ep": official(responses=dict(cls=1.0, tau=4.0), transfer=True, epochs=12),
    # Weight and choice of the prefixes.
    "image": early(),
    "image-cwd": early(responses=CLASSWISE),
    "prefix-w1": sakd(1.0),
    "prefix-w2": sakd(2.0),
    "prefix-w4": sakd(4.0),
    "prefix-mse-w1": sakd(1.0, MSE),
    # Four times the teacher's terms at T; the prefix counts eight times, as in `sakd`.
    "response-w4": sakd(2.0, dict(PKD, weight=4.0), responses=dict(cls=4.0, box=4.0)),
    # Compares the places of each class, not the classes of each pixel: rare classes count as much.
    "response-cwd": sakd(2.0, responses=CLASSWISE),
    "response-cwd-48ep": dict(sakd(2.0, responses=CLASSWISE), epochs=48),
    "both-response-cwd": both(responses=CLASSWISE),
    "prefix-w2-24ep": dict(sakd(2.0), epochs=24),
    # Learning rates, batch sizes and longer schedules.
    "sakd-lr3": dict(sakd(), lr=3e-4),
    "sakd-lr20": dict(sakd(), lr=2e-3),
    "sakd-batch4": dict(sakd(), batch_size=4),
    "sakd-24ep": dict(sakd(), epochs=24),
    "level1-24ep": dict(level1=True, epochs=24),
    "sakd-12ep": dict(sakd(), epochs=12),
    "prefix-w2-12ep": dict(sakd(2.0), epochs=12),
    "level1-12ep": dict(level1=True, epochs=12),
    "scratch-24ep": dict(epochs=24),
    "scratch-30ep": dict(epochs=30),
    "level1-30ep": dict(level1=True, epochs=30),
    # Short schedules and few labels, where level 2 can contribute more.
    "level1-3ep": dict(level1=True, epochs=3),
    "sakd-3ep": dict(sakd(), epochs=3),
    "level1-quarter": dict(level1=True, images=51),
    "sakd-quarter": dict(sakd(), images=51),
    "level1-tenth": dict(level1=True, images=20),
    "sakd-tenth": dict(sakd(), images=20),
    # As many iterations as with all labels: the student then memorises a tenth of them.
    "level1-tenth-long": dict(level1=True, **TENTH_LONG),
    "sakd-tenth-long": dict(sakd(), **TENTH_LONG),
    # The same on CamVid, with its responses.
    "response-cwd-3ep": dict(sakd(2.0, responses=CLASSWISE), epochs=3),
    "level1-37-long": dict(level1=True, **CAMVID_TENTH_LONG),
    "response-cwd-37-long": dict(sakd(2.0, responses=CLASSWISE), **CAMVID_TENTH_LONG),
    # The road: the run starts from the backbone of another track's SAKD student (a classifier),
    # without a teacher, or with the head of the dense teacher and taught by it.
    "backbone": dict(start="cifar10-small"),
    "road": dict(sakd(transfer="head"), start="cifar10-small"),
    # Counts: T x D. The sum is before the neuron, where the ANN has it, or after it, as in SEW.
    "counts-1x1": counts(1),
    "counts-1x2": counts(2),
    "counts-1x4": counts(4),
    "counts-1x8": counts(8),
    "counts-2x2": counts(2, time_steps=2),
    # Binary neurons without a leak, with thresholds fitted to T slots.
    "counts-4x1": counts(1, time_steps=4),
    # One checkpoint for every D.
    "counts-several": several(),
    "counts-several-sew": several(SEW),
    "counts-several-16ep": dict(several(), epochs=16),
    "counts-several-sew-16ep": dict(several(SEW), epochs=16),
    "counts-several-cwd": several(responses=CLASSWISE),
    "counts-several-sew-cwd": several(SEW, responses=CLASSWISE),
    "counts-1x4-sew": counts(4, SEW),
    "counts-1x4-uncalibrated": counts(4, calibrate=0),
    "counts-1x4-mse": counts(4, features=MSE),
    "counts-1x4-w4": counts(4, responses=dict(cls=4.0)),
    "counts-1x4-lr20": dict(counts(4), lr=2e-3),
    "counts-1x4-labels": counts(4, features=None, responses=None),
    # Batches of one image, and of two as on COCO: BatchNorm is trained, or its statistics are
    # re-estimated at the end, or re-estimated before the first iteration and then kept.
    "counts-1x4-batch1": dict(counts(4), batch_size=1),
    "counts-1x4-batch2": dict(counts(4), batch_size=2),
    # The statistics of SyncBN over two processes with two images each.
    "counts-1x4-batch4": dict(counts(4), batch_size=4),
    "counts-1x4-batch2-end": dict(counts(4), batch_size=2, hooks=[REESTIMATE]),
    "counts-1x4-batch2-frozen": dict(
        counts(4, backbone=dict(norm_eval=True)), batch_size=2, load="counts-1x4-untrained"
    ),
    "counts-1x4-end": dict(counts(4), hooks=[REESTIMATE]),
    # Only level 1, with BatchNorm's statistics re-estimated, and with the original ones.
    "counts-1x2-untrained": untrained(2),
    "counts-1x4-untrained": untrained(4),
    "counts-1x4-untrained-as-is": untrained(4, reestimate=False),
    "counts-1x4-sew-untrained": untrained(4, SEW),
    "counts-1x8-untrained": untrained(8),
    "counts-4x1-untrained": untrained(1, time_steps=4),
    # About the time of four epochs at T = 4.
    "counts-1x4-16ep": dict(counts(4), epochs=16),
    "counts-1x4-16ep-lr3": dict(counts(4), epochs=16, lr=3e-4),
    "counts-1x4-w4-16ep": dict(counts(4, responses=dict(cls=4.0)), epochs=16),
    "counts-1x2-16ep": dict(counts(2), epochs=16),
    "counts-1x4-sew-16ep": dict(counts(4, SEW), epochs=16),
    # The time of binary SAKD's epochs (arm_cost.py): 4 on CIFAR-10, 12 on BCCD, 12 on CamVid.
    "counts-1x4-11ep": dict(counts(4), epochs=11),
    "counts-1x4-30ep": dict(counts(4), epochs=30),
    "counts-1x4-cwd-27ep": dict(counts(4, responses=CLASSWISE), epochs=27),
    # With CamVid's responses.
    "counts-1x2-cwd": counts(2, responses=CLASSWISE),
    "counts-1x4-cwd": counts(4, responses=CLASSWISE),
    "counts-1x8-cwd": counts(8, responses=CLASSWISE),
    "counts-1x4-sew-cwd": counts(4, SEW, responses=CLASSWISE),
    "counts-1x4-cwd-48ep": dict(counts(4, responses=CLASSWISE), epochs=48),
    # Level 1 starts from a trained detector, so half of the schedule.
    "counts-1x4-2ep": dict(counts(4), epochs=2),
    # Eight and two images a batch.
    "counts-1x4-1ep": dict(counts(4), epochs=1),
    "counts-1x4-batch2-1ep": dict(counts(4), batch_size=2, epochs=1),
    "image-init-features-0.75-2ep": dict(early(0.75, prefix_weight=8.0), **INIT, epochs=2),
    # From ImageNet's weights instead of a detector's, without a teacher, as others must.
    "imagenet": imagenet(),
    "imagenet-init-2ep": dict(imagenet(INIT), epochs=2),
    "counts-1x4-imagenet": imagenet(counts(4)),
    # The IF neuron with the main recipe, and other neurons with level 1 only.
    "scratch-if": dict(backbone=dict(neuron=IF)),
    "level1-if": dict(level1=True, backbone=dict(neuron=IF)),
    "sakd-if-w1": dict(sakd(1.0), backbone=dict(neuron=IF)),
    "neuron-soft": neuron(IF),
    "neuron-hard": neuron(IF, v_reset=0.0),
    "neuron-attached": neuron(IF, detach_reset=False),
    "neuron-sigmoid": neuron(IF, surrogate_function=dict(type="Sigmoid", alpha=4.0)),
    "neuron-lif": neuron(LIF),
    "neuron-half": neuron(HALF),
    "level1-half": dict(level1=True, backbone=dict(neuron=HALF)),
    # The first step starts at half of the threshold instead of at rest.
    "sakd-init": dict(sakd(), **INIT),
    "response-cwd-init": dict(sakd(2.0, responses=CLASSWISE), **INIT),
    "image-init": dict(early(), **INIT),
    "image-init-0.75": dict(early(0.75), **INIT),
    "image-cwd-init-0.75": dict(early(0.75, responses=CLASSWISE), **INIT),
    # With all features taught at a random t as well, as the hook does by default.
    "image-init-features": dict(early(prefix_weight=8.0), **INIT),
    "image-init-features-0.75": dict(early(0.75, prefix_weight=8.0), **INIT),
    "image-cwd-init-features-0.75": dict(
        early(0.75, prefix_weight=8.0, responses=CLASSWISE), **INIT
    ),
    "image-init-features-0.75-30ep": dict(early(0.75, prefix_weight=8.0), **INIT, epochs=30),
    "image-cwd-init": dict(early(responses=CLASSWISE), **INIT),
    "sakd-init-0.4": dict(sakd(), backbone=dict(neuron=dict(LIF, v_init=0.4))),
    "sakd-init-0.6": dict(sakd(), backbone=dict(neuron=dict(LIF, v_init=0.6))),
    "sakd-half-w1": dict(sakd(1.0), backbone=dict(neuron=HALF)),
}
