"""The black-box harness: scripted upstreams, scripted clients and the gateway between them."""

import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "shared"))
