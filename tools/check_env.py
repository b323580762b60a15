"""Says what is wrong with this environment and how to mend it. Exits with 1 if something is.

It runs on the standard library alone, so that it can say that torch is missing.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
import warnings
from pathlib import Path
from types import ModuleType


def load_environment() -> ModuleType:
    """``sakd_dense/environment.py`` by its path: importing the package would import torch."""
    here = Path(__file__).absolute()
    # in a checkout, tools/ lies beside the package; installed, it lies in sakd_dense/.mim
    places = [here.parents[1] / "sakd_dense", here.parents[2]]
    path = next(p / "environment.py" for p in places if (p / "environment.py").is_file())
    spec = importlib.util.spec_from_file_location("sakd_dense_environment", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def main() -> int:
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    if sys.version_info < (3, 8):  # noqa: UP036 - the checks themselves need so much to start
        print("Python %d.%d is too old: use 3.11 or newer." % sys.version_info[:2])  # noqa: UP031
        return 1
    # The folder of this script must not hide packages: tools/install.py is no module of theirs.
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != Path(__file__).parent]
    warnings.simplefilter("ignore")
    environment = load_environment()
    findings = environment.check_environment()
    print(environment.report(findings))
    return int(any(finding.state == environment.WRONG for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
