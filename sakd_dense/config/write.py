"""Writing of a config as its upstream base plus the settings that differ."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from keyword import iskeyword
from pathlib import Path
from typing import Any

from mmengine.config import Config

from ..runtime.errors import UserError
from ..runtime.files import replacing
from .scopes import config_file

_DELETE = "_delete_"
_WIDTH = 100
_FIRST = ("custom_imports", "default_scope", "model", "custom_hooks")


def difference(base: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the dict that turns ``base`` into ``new`` when MMEngine merges it.

    A dict that lacks keys of its base is returned completely, with ``_delete_=True``. Lists are
    returned completely.

    Returns:
        The keys of ``new`` that ``base`` lacks or that have another value there, each with the
        value that MMEngine merges.

    Raises:
        UserError: ``new`` lacks a key of the outermost level, which a config cannot express.
    """
    gone = sorted(set(base) - set(new))
    if gone:
        raise UserError(f"a config cannot drop the settings {', '.join(gone)} of its base")
    changed = {k: v for k, v in new.items() if k not in base or base[k] != v}
    return {k: _change(base[k], v) if k in base else v for k, v in changed.items()}


def _change(old: Any, new: Any) -> Any:
    if not isinstance(new, Mapping):
        return new
    if not isinstance(old, Mapping) or set(old) - set(new):
        return {_DELETE: True, **new}
    return difference(old, new)


def as_code(value: Any, indent: int = 0, width: int = _WIDTH) -> str:
    """Returns ``value`` as Python source (``dict(type='A', b=1)``), in one line if it fits."""
    if not isinstance(value, Mapping | list | tuple) or not value:
        return "dict()" if isinstance(value, Mapping) else repr(value)
    inner = indent + 4
    if isinstance(value, Mapping):
        keys = sorted(value, key=lambda k: (k != _DELETE, k != "type"))
        plain = all(isinstance(k, str) and k.isidentifier() and not iskeyword(k) for k in keys)
        names = [f"{k}=" if plain else f"{k!r}: " for k in keys]
        values = [value[k] for k in keys]
        left, right = ("dict(", ")") if plain else ("{", "}")
    else:
        names, values = [""] * len(value), list(value)
        left, right = ("(", ")") if isinstance(value, tuple) else ("[", "]")
    flat = [n + as_code(v, 0, 10**6) for n, v in zip(names, values, strict=True)]
    comma = "," if right == ")" and left == "(" and len(flat) == 1 else ""
    line = left + ", ".join(flat) + comma + right
    if len(line) + indent <= width:
        return line
    deep = [n + as_code(v, inner, width - len(n) - 1) for n, v in zip(names, values, strict=True)]
    return left + "".join(f"\n{' ' * inner}{d}," for d in deep) + f"\n{' ' * indent}{right}"


def _base_of(name: str, folder: Path) -> str:
    return name if "::" in name else os.path.relpath(Path(name).resolve(), folder.resolve())


def read_as_base(name: str) -> Config:
    """Reads the config ``name`` as the ``_base_`` of another config.

    A base from another package then has ``_scope_`` keys, which the file lacks when it is read
    directly.

    Raises:
        UserError: the config is a pure Python config (``with read_base():``), which only another
            pure Python config can have as its base.

    Example:
        >>> from sakd_dense.config import read_as_base
        >>> read_as_base("sakd_dense::retinanet_sew18_sakd_digits.py").model.type
        'RetinaNet'
    """
    config_file(name)  # a missing file is an error of its own
    with tempfile.TemporaryDirectory() as folder:
        stub = Path(folder) / "stub.py"
        stub.write_text(f"_base_ = {_base_of(name, stub.parent)!r}\n", encoding="utf-8")
        try:
            return Config.fromfile(stub)
        except RuntimeError as error:  # MMEngine's, for a base of the other kind
            raise UserError(
                f"{name} is a pure Python config, and the text config to be written cannot inherit "
                "from it. Use tools/train.py --sakd instead, which accepts it directly"
            ) from error


def write_config(base: str, cfg: Config, out: str | os.PathLike[str], comment: str = "") -> None:
    """Writes ``cfg`` to ``out`` as ``_base_ = base`` and the differences, and reads it back.

    Args:
        base: the config that ``cfg`` was made from: a path or ``package::path.py``.
        cfg: a config made from ``read_as_base(base)``.
        out: path of a ``.py`` file, which is replaced only if the new file reads back equal to
            ``cfg``.
        comment: text of the comment at the top of the file.

    Raises:
        UserError: ``out`` does not end in ``.py``, or a config file cannot express ``cfg``.

    Example:
        >>> from pathlib import Path
        >>> from sakd_dense.config import read_as_base, write_config
        >>> base = "sakd_dense::retinanet_sew18_sakd_digits.py"
        >>> cfg = read_as_base(base)
        >>> cfg.model.backbone.time_steps = 8
        >>> write_config(base, cfg, "student.py")
        >>> print(Path("student.py").read_text().splitlines()[-1])
        model = dict(backbone=dict(time_steps=8))
    """
    file = Path(out)
    if file.suffix != ".py":
        raise UserError(f"{file}: the name of a config must end in .py")
    wanted = cfg.to_dict()
    changes = difference(read_as_base(base).to_dict(), wanted)
    order = [k for k in _FIRST if k in changes] + [k for k in changes if k not in _FIRST]
    lines = [f"# {line}".rstrip() for line in comment.splitlines()]
    lines += [f"_base_ = {_base_of(base, file.parent)!r}", ""]
    lines += [f"{k} = {as_code(changes[k], 0, _WIDTH - len(k) - 3)}" for k in order]
    with replacing(file) as temporary:
        temporary.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
        if Config.fromfile(temporary).to_dict() != wanted:
            raise UserError(
                f"{file}: the config read back from the file differs from the one written"
            )


__all__ = ["difference", "read_as_base", "write_config"]
