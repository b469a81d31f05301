"""The cases of one Python client; started by ../run.py, which says where Weir and the mock are."""

import importlib
import sys

import kit

# Program: (the package whose version counts, the modules that hold the cases)
PROGRAMS = {
    "openai": ("openai", ("answers", "failures", "streams")),
    "openai-wires": ("openai", ("crossing",)),
    "responses": ("openai", ("responses",)),
    "anthropic": ("anthropic", ("messages",)),
    "google": ("google-genai", ("gemini",)),
    "langchain": ("langchain-openai", ("langchain_models",)),
    "llama-index": ("llama-index-llms-openai-like", ("llama",)),
}

package, modules = PROGRAMS[sys.argv[1]]
for module in modules:
    importlib.import_module(module)
kit.run(package)
