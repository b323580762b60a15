"""Features of a frozen teacher, kept in a folder and found again by the content of an image.

A training pipeline without random augmentation shows the teacher the same tensors in every epoch; a
random flip alone has two results. Their features are computed once. The key is a hash of the
teacher's input, so a changed augmentation, padding or normalisation never finds wrong features.
Only the backbone's features are kept. Neck and head run on them, because some responses depend on
the student (the RoIs of a two-stage detector).
"""

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from ..runtime.errors import UserError
from ..runtime.files import replacing

Features = tuple[Tensor, ...]
#: Size in GiB above which no file is added.
DEFAULT_GIB = 10.0


class FeatureCache:
    """Features of a teacher's backbone, one file per image.

    Each teacher has a subfolder of its own, named by a hash of its weights, so runs and processes
    can share a folder.

    Args:
        folder: folder of the files; it is created if it does not exist.
        teacher: the loaded teacher.
        gib: size in GiB above which no file is added. Default: 10.0.

    Raises:
        UserError: the folder cannot be created.

    Attributes:
        seen: number of images so far.
        found: number of images whose features were read.
    """

    def __init__(self, folder: str | Path, teacher: nn.Module, gib: float = DEFAULT_GIB) -> None:
        self.folder = Path(folder) / _fingerprint(teacher.backbone)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"SAKDHook: teacher=dict(cache={str(folder)!r}): this folder cannot be written "
                f"({error}): name another one"
            ) from error
        self.limit = int(gib * 2**30)
        self.size = sum(f.stat().st_size for f in self.folder.glob("*.pt"))
        self.seen = self.found = 0

    def __call__(self, inputs: Tensor, compute: Callable[[Tensor], Features]) -> Features:
        """Returns the features of ``inputs``, ``[B, C, H, W]`` each.

        Args:
            inputs: the teacher's inputs, ``[B, C, H, W]``.
            compute: function that returns the features of inputs that are not in the folder.
        """
        files = [self.folder / f"{name}.pt" for name in _names(inputs)]
        features = [self._read(file, inputs.device) for file in files]
        missing = [i for i, found in enumerate(features) if found is None]
        self.seen += len(files)
        self.found += len(files) - len(missing)
        if missing:
            whole = len(missing) == len(files)
            computed = compute(inputs if whole else inputs[missing])
            for i, image in zip(missing, zip(*computed, strict=True), strict=True):
                features[i] = image
                self._write(files[i], image)
            if whole:
                return computed
        return tuple(torch.stack(stage) for stage in zip(*features, strict=True))

    def summary(self) -> str:
        """Returns a sentence about the images so far and the size of the folder."""
        full = ", which is full" if self.size >= self.limit else ""
        return (
            f"the teacher's features were read for {self.found} of {self.seen} images and computed "
            f"for the others ({self.folder}: {self.size / 2**30:.2f} GiB{full})"
        )

    def _read(self, file: Path, device: torch.device) -> Features | None:
        try:
            return tuple(torch.load(file, map_location=device, weights_only=True))
        except (EOFError, RuntimeError, OSError, pickle.UnpicklingError):
            return None  # missing or unreadable: the features are computed and written

    def _write(self, file: Path, features: Features) -> None:
        if self.size >= self.limit:
            return
        with replacing(file) as temporary:
            torch.save([f.cpu().clone() for f in features], temporary)
        self.size += file.stat().st_size


def _fingerprint(backbone: nn.Module) -> str:
    digest = hashlib.blake2b(str(backbone).encode(), digest_size=8)
    for name, value in backbone.state_dict().items():
        digest.update(name.encode())
        digest.update(_content(value))
    return digest.hexdigest()


def _names(inputs: Tensor) -> list[str]:
    kind = inputs.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else inputs.dtype
    digest = hashlib.blake2b(f"{dtype} {tuple(inputs.shape[1:])}".encode(), digest_size=16)
    names = []
    for image in inputs:
        own = digest.copy()
        own.update(_content(image))
        names.append(own.hexdigest())
    return names


def _content(value: Tensor) -> memoryview:
    return value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data


__all__ = ["DEFAULT_GIB", "FeatureCache"]
