"""Try one installed package from outside the checkout: import, version, command line.

::

    python tools/try_install.py compress-export
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from importlib.metadata import entry_points, version
from pathlib import Path


def main() -> int:
    """Return 0 if the package named on the command line works."""
    package = sys.argv[1]
    sys.path = [entry for entry in sys.path if Path(entry) != Path(__file__).parent]
    module = importlib.import_module(package.replace("-", "_"))
    if module.__version__ != version(package):
        print(f"{package}: __version__ is {module.__version__}, metadata says {version(package)}")
        return 1
    if package == "compress-tensor":
        from compress_tensor.native.library import isa

        print(f"libcore loads, instruction set {isa()}")
    if package in entry_points(group="console_scripts").names:
        script = shutil.which(package, path=str(Path(sys.executable).parent))
        if script is None or subprocess.call([script, "--help"], stdout=subprocess.DEVNULL):
            print(f"{package} --help fails")
            return 1
    print(f"{package} {module.__version__} works alone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
