"""The cases of the Python SDK; started by ../run.py, which says where Weir and the mock are."""

import answers  # noqa: F401
import failures  # noqa: F401
import kit
import streams  # noqa: F401

kit.run()
