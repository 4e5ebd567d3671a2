"""Pythons of third-party frameworks, each with its packages and nothing else: `./test setup` makes them of clients/requirements-NAME.txt."""
import os
import pathlib
import shutil
import signal
import subprocess
import time
import urllib.parse

import pytest

HERE = pathlib.Path(__file__).resolve().parents[1]
FETCH = 30                                              # seconds: well below the time of a test
failed = {}                                             # what could not be fetched in this run, and why


def python(name):
    """The interpreter that has the packages of `name`: the one that NAME_PYTHON names, or that of `./test setup`."""
    named = os.environ.get(f"{name.upper()}_PYTHON")
    path = pathlib.Path(named) if named else HERE / f".cache/venv-{name}/bin/python"
    if not path.exists():
        pytest.skip(f"SKIPPED: no Python with {name}'s packages: `./test setup` installs clients/requirements-{name}.txt, or {name.upper()}_PYTHON names one")
    return str(path)


def checkout(name, source, commit):
    """A checkout of that commit of a repository, fetched when the tests run, of the copy that NAME_SOURCE names or of the network's. Nothing of it is kept here."""
    where, place = os.environ.get(f"{name.upper()}_SOURCE", source), HERE / f".cache/{name}-{commit[:12]}"
    if not place.is_dir():
        host = urllib.parse.urlsplit(where).netloc or where
        problem = failed.get(host) or failed.get(where)
        if problem is None:
            problem, hung = fetch(where, commit, place)
            if problem is not None:
                failed[host if hung else where] = problem
        if problem is not None:
            pytest.skip(f"SKIPPED: {name} cannot be fetched from {where} ({name.upper()}_SOURCE names a copy): {problem}")
    return place


def fetch(where, commit, place):
    """Fetches into `place`, whole or not at all. What went wrong, or None; and whether nothing came in time."""
    part, until = place.with_name(f"{place.name}.{os.getpid()}"), time.monotonic() + FETCH
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        for words in (["init"], ["fetch", "--depth", "1", where, commit], ["checkout", "FETCH_HEAD"]):
            status, said = git(part, words, until - time.monotonic())
            if status != 0:
                return f"git {words[0]}: {said.strip()}", False
        part.rename(place)
    except subprocess.TimeoutExpired:
        return f"nothing came in {FETCH} s", True
    except OSError as error:
        if not place.is_dir():                              # else another worker was first
            return str(error), False
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return None, False


def git(folder, words, seconds):
    """Status and output of one command, which asks nothing. It does not outlive its time, nor do its helpers, which hold its pipes."""
    process = subprocess.Popen(["git", words[0], "-q", *words[1:]], cwd=folder, env=os.environ | {"GIT_TERMINAL_PROMPT": "0"}, text=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        said, _ = process.communicate(timeout=max(seconds, 0))
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, said
