"""The data sets and models on which the arms are compared, and the differences between them."""

from collections.abc import Callable
from dataclasses import dataclass

from mmengine.config import Config


@dataclass(frozen=True)
class Track:
    """A data set and a model.

    Args:
        teacher, student: config files. A student differs from its teacher as the shipped ones do.
        metric: metric of the evaluator that the table shows.
        digits: number of digits after the point, in the table.
        read: sets the test data of a config to ``'val'`` or ``'test'``.
        take: sets the training data of a config to its first ``n`` images, of each class alike for
            a classifier.
        taught_by: the track whose teacher is this one's too; empty: its own.
    """

    teacher: str
    student: str
    metric: str
    digits: int
    read: Callable[[Config, str], None]
    take: Callable[[Config, int], None]
    taught_by: str = ""


def _bccd(cfg: Config, split: str) -> None:
    cfg.test_dataloader.dataset.ann_file = f"ImageSets/Main/{split}.txt"


def _coco_person(cfg: Config, split: str) -> None:
    data = dict(ann_file=f"annotations/{split}.json", data_prefix=dict(img=f"{split}/"))
    cfg.test_dataloader.dataset.update(data)
    cfg.test_evaluator.ann_file = cfg.test_dataloader.dataset.data_root + data["ann_file"]


def _split(cfg: Config, split: str) -> None:
    cfg.test_dataloader.dataset.split = split


def _first(cfg: Config, images: int) -> None:
    cfg.train_dataloader.dataset.indices = images


def _cifar10(cfg: Config, split: str) -> None:
    if split == "val":  # the config's val: the last images of each class of `train`
        cfg.test_dataloader.dataset = cfg.val_dataloader.dataset


def _first_of_each_class(cfg: Config, images: int) -> None:
    # CustomDataset lists class by class.
    chosen = cfg.train_dataloader.dataset.indices
    each, wanted = len(chosen) // 10, images // 10
    cfg.train_dataloader.dataset.indices = [
        i for c in range(10) for i in chosen[c * each : c * each + wanted]
    ]


TRACKS = {
    "bccd": Track(
        "configs/retinanet_r18_bccd.py",
        "configs/retinanet_sew18_sakd_bccd.py",
        "coco/bbox_mAP",
        3,
        _bccd,
        _first,
    ),
    "bccd-gn": Track(
        "benchmarks/configs/retinanet_r18-gn_bccd.py",
        "benchmarks/configs/retinanet_sew18-gn_sakd_bccd.py",
        "coco/bbox_mAP",
        3,
        _bccd,
        _first,
    ),
    "bccd-full": Track(
        "configs/retinanet_r18-full_bccd.py",
        "configs/retinanet_sew18-full_sakd_bccd.py",
        "coco/bbox_mAP",
        3,
        _bccd,
        _first,
    ),
    "bccd-faster-rcnn": Track(
        "configs/faster-rcnn_r18_bccd.py",
        "configs/faster-rcnn_sew18_sakd_bccd.py",
        "coco/bbox_mAP",
        3,
        _bccd,
        _first,
    ),
    "bccd-yolox": Track(
        "benchmarks/configs/yolox_bccd.py",
        "benchmarks/configs/yolox_sakd_bccd.py",
        "coco/bbox_mAP",
        3,
        _bccd,
        _first,
    ),
    "bccd-yolox-relu": Track(
        "benchmarks/configs/yolox-relu_bccd.py",
        "benchmarks/configs/yolox-relu_sakd_bccd.py",
        "coco/bbox_mAP",
        3,
        _bccd,
        _first,
    ),
    "coco-person": Track(
        "benchmarks/configs/retinanet_r50-caffe_coco-person.py",
        "benchmarks/configs/retinanet_sew50_sakd_coco-person.py",
        "coco/bbox_mAP",
        3,
        _coco_person,
        _first,
    ),
    "camvid-small": Track(
        "benchmarks/configs/fcn_r18_camvid-small.py",
        "benchmarks/configs/fcn_sew18_sakd_camvid-small.py",
        "mIoU",
        1,
        _split,
        _first,
    ),
    "camvid-small-full": Track(
        "benchmarks/configs/fcn_r18_camvid-small.py",
        "benchmarks/configs/fcn_sew18-full_sakd_camvid-small.py",
        "mIoU",
        1,
        _split,
        _first,
        taught_by="camvid-small",
    ),
    "camvid-unet": Track(
        "benchmarks/configs/unet_camvid.py",
        "benchmarks/configs/unet_sakd_camvid.py",
        "mIoU",
        1,
        _split,
        _first,
    ),
    "digit-events": Track(
        "configs/retinanet_r18_digit-events.py",
        "configs/retinanet_sew18_sakd_digit-events.py",
        "coco/bbox_mAP",
        3,
        _split,
        _first,
    ),
    "digit-events-channels": Track(
        "configs/retinanet_r18_digit-events_channels.py",
        "benchmarks/configs/retinanet_sew18_sakd_digit-events_channels.py",
        "coco/bbox_mAP",
        3,
        _split,
        _first,
    ),
    "digit-events-fcn": Track(
        "configs/fcn_r18_digit-events.py",
        "configs/fcn_sew18_sakd_digit-events.py",
        "mIoU",
        1,
        _split,
        _first,
    ),
    "cifar10-small": Track(
        "benchmarks/configs/r18_cifar10-small.py",
        "benchmarks/configs/sew18_sakd_cifar10-small.py",
        "accuracy/top1",
        1,
        _cifar10,
        _first_of_each_class,
    ),
    "cifar10-half": Track(
        "benchmarks/configs/r18_cifar10-half.py",
        "benchmarks/configs/sew18_sakd_cifar10-half.py",
        "accuracy/top1",
        1,
        _cifar10,
        _first_of_each_class,
    ),
}
