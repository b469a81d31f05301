"""The SDKs themselves: installed once, outside the tree, in a folder named by what is asked for.

The cache is $WEIR_CACHE, else $XDG_CACHE_HOME/weir, else ~/.cache/weir. A folder counts only when
its file `complete` is there; until then it is made anew, by one process at a time.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
NODE_FILES = ("package.json", "package-lock.json", ".npmrc")
NODE_OLDEST = 18


class Missing(Exception):
    """Something that a test run needs is not on this machine; the text says what to do."""


def cache():
    if os.environ.get("WEIR_CACHE"):
        return pathlib.Path(os.environ["WEIR_CACHE"]).absolute()
    if os.environ.get("XDG_CACHE_HOME"):
        return pathlib.Path(os.environ["XDG_CACHE_HOME"]) / "weir"
    return pathlib.Path.home() / ".cache" / "weir"


def key_of(*parts):
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


@contextlib.contextmanager
def alone(path):
    """An exclusive lock that ends with this process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def made(folder, what, make):
    """`folder`, complete; calls make(folder) first if it is not."""
    if (folder / "complete").exists():
        return folder
    with alone(folder.with_name(folder.name + ".lock")):
        if not (folder / "complete").exists():
            print(f"installing {what} into {folder}", file=sys.stderr, flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            make(folder)
            (folder / "complete").touch()
    return folder


def call(command, hint, **more):
    """Runs a command; what it said matters only when it failed."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, **more)
    if done.returncode != 0:
        tail = "\n".join(done.stdout.splitlines()[-15:])
        raise Missing(f"{' '.join(map(str, command))} failed: {hint}\n{tail}")
    return done.stdout


def at(path, hint):
    """`path`, absolute; it must be there."""
    if not path.exists():
        raise Missing(f"no {path}: {hint}")
    return path.absolute()


def python_sdk(given=None, name="requirements.txt"):
    """The interpreter of a virtual environment that has what is in the file `name`; `given` is used
    as it is."""
    if given:
        return at(given / "bin" / "python", "no virtual environment")
    wanted = HERE / "python" / name
    text = wanted.read_text("utf-8")

    def make(folder):
        call([sys.executable, "-m", "venv", folder], "Debian, Ubuntu: apt-get install python3-venv")
        call([folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-input",
              "--disable-pip-version-check", "--only-binary", ":all:", "-r", wanted],
             f"the packages of {name} must come from a package index")

    key = key_of(text, sys.executable, platform.python_version(), platform.machine())
    folder = made(cache() / "sdk-python" / key, f"what python/{name} names", make)
    return folder / "bin" / "python"


def node():
    """The `node` to use."""
    program = shutil.which("node") or shutil.which("nodejs")
    if not program:
        raise Missing("no node (Debian, Ubuntu: apt-get install nodejs npm)")
    version = call([program, "--version"], "node does not run").strip()
    if int(re.match(r"v(\d+)", version)[1]) < NODE_OLDEST:
        raise Missing(f"node is {version}; it must be {NODE_OLDEST} or later")
    return program


def node_sdk(given=None):
    """The folder whose node_modules has the Node SDKs; `given` is used as it is."""
    if given:
        at(given / "node_modules" / "openai", "the SDK is not installed there")
        return given.absolute()
    return node_packages(HERE / "node", "sdk-node", "the Node SDKs")


def node_packages(source, name, what):
    """The folder whose node_modules has what package-lock.json in `source` names; the cache keeps it
    under `name`."""
    texts = [(source / file).read_text("utf-8") for file in NODE_FILES]

    def make(folder):
        if not shutil.which("npm"):
            raise Missing("no npm (Debian, Ubuntu: apt-get install nodejs npm)")
        for file in NODE_FILES:
            shutil.copy(source / file, folder)
        call(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
             "the packages of package-lock.json must come from a package registry", cwd=folder)

    return made(cache() / name / key_of(*texts), what, make)
