"""Prints `name==version` for each package that is named on the command line."""

import sys
from importlib.metadata import version

for name in sys.argv[1:]:
    print(f"{name}=={version(name)}")
