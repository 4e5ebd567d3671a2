"""Pythons of strangers' frameworks, each with its packages and nothing else: `./test setup` makes them of clients/requirements-NAME.txt."""
import os
import pathlib
import shutil
import subprocess

import pytest

HERE = pathlib.Path(__file__).resolve().parents[1]


def python(name):
    """The interpreter that has the packages of `name`: the one that NAME_PYTHON names, or that of `./test setup`."""
    named = os.environ.get(f"{name.upper()}_PYTHON")
    path = pathlib.Path(named) if named else HERE / f".cache/venv-{name}/bin/python"
    if not path.exists():
        pytest.skip(f"SKIPPED: no Python with {name}'s packages: `./test setup` installs clients/requirements-{name}.txt, or {name.upper()}_PYTHON names one")
    return str(path)


def checkout(name, source):
    """A checkout of a repository that is fetched when the tests run, of the copy that NAME_SOURCE names or of the network's. Nothing of it is kept here."""
    where, place = os.environ.get(f"{name.upper()}_SOURCE", source), HERE / f".cache/{name}"
    if not place.is_dir():
        part = place.with_name(f"{name}.{os.getpid()}")
        part.parent.mkdir(exist_ok=True)
        try:
            got = subprocess.run(["git", "clone", "-q", "--depth", "1", where, str(part)], capture_output=True, text=True, timeout=120)
            problem = got.stderr.strip()
        except (OSError, subprocess.TimeoutExpired) as error:
            problem = str(error)
        if not part.is_dir():
            pytest.skip(f"SKIPPED: {name} cannot be fetched from {where} ({name.upper()}_SOURCE names a copy): {problem}")
        try:
            part.rename(place)
        except OSError:                                     # another worker was first
            shutil.rmtree(part, ignore_errors=True)
    return place
