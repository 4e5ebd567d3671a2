"""Pythons of strangers' frameworks, each with its packages and nothing else: `./test setup` makes them of clients/requirements-NAME.txt."""
import os
import pathlib

import pytest

HERE = pathlib.Path(__file__).resolve().parents[1]


def python(name):
    """The interpreter that has the packages of `name`: the one that NAME_PYTHON names, or that of `./test setup`."""
    named = os.environ.get(f"{name.upper()}_PYTHON")
    path = pathlib.Path(named) if named else HERE / f".cache/venv-{name}/bin/python"
    if not path.exists():
        pytest.skip(f"SKIPPED: no Python with {name}'s packages: `./test setup` installs clients/requirements-{name}.txt, or {name.upper()}_PYTHON names one")
    return str(path)
