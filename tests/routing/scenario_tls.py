"""The certificates of the scenarios' mocks, which these tests use too."""

import importlib.util
import pathlib

_PATH = pathlib.Path(__file__).resolve().parents[1] / "scenario" / "harness" / "tls.py"
_spec = importlib.util.spec_from_file_location("scenario_harness_tls", _PATH)
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)

Authority = _module.Authority
