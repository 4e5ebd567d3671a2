"""The release script and the one-line installer: checksums, the signature, a tree that runs; and what was tampered with."""
import functools
import http.server
import os
import pathlib
import platform
import shutil
import subprocess
import threading

import pytest

from harness.switch import ROOT, binary

pytestmark = pytest.mark.skipif(not all(map(shutil.which, ("strip", "ssh-keygen", "curl"))), reason="strip, ssh-keygen or curl is not installed")


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    where = tmp_path_factory.mktemp("release")
    for name in ("mine", "other"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(where / name)], check=True)
    # A debug build is larger than what is promised of a release.
    run = subprocess.run([ROOT / "deploy/release", "--binaries", pathlib.Path(binary()).parent, "--key", where / "mine", "--out", where / "dist"],
                         capture_output=True, text=True, env={**os.environ, "FERROSWITCH_ANY_SIZE": "1"})
    assert run.returncode == 0, run.stdout + run.stderr
    return where


def install(address, into, signer=None, **more):
    env = {**os.environ, "FERROSWITCH_FROM": str(address), "DESTDIR": str(into), **more}
    if signer:
        env["FERROSWITCH_SIGNER"] = signer.read_text().strip()
    return subprocess.run(["sh", "-c", (ROOT / "deploy/install.sh").read_text()], capture_output=True, text=True, env=env)


@pytest.fixture
def served(release):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(release / "dist"))
    handler.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_one_line_installs_what_was_signed(release, served, tmp_path):
    run = install(served, tmp_path / "root", release / "mine.pub")
    assert run.returncode == 0, run.stderr
    root = tmp_path / "root"
    assert "ferroswitch" in subprocess.run([root / "usr/bin/ferroswitch", "-version"], capture_output=True, text=True).stdout.lower()
    check = subprocess.run([root / "usr/bin/ferroswitch", "check", root / "etc/ferroswitch"], capture_output=True, text=True)
    assert check.returncode == 0, check.stdout
    assert (root / "lib/systemd/system/ferroswitch.service").exists() and not (root / "etc/ferroswitch").stat().st_mode & 0o007
    # A second time the configuration stays as the administrator has it.
    (root / "etc/ferroswitch/vars.xml").write_text("<include/>")
    assert install(served, root).returncode == 0 and (root / "etc/ferroswitch/vars.xml").read_text() == "<include/>"


def test_what_was_tampered_with_is_not_installed(release, tmp_path):
    dist = tmp_path / "dist"
    shutil.copytree(release / "dist", dist)
    archive = next(dist.glob(f"ferroswitch-*-{platform.machine()}.tar.gz"))
    with archive.open("ab") as file:
        file.write(b"more")
    run = install(dist, tmp_path / "root")
    assert run.returncode == 1 and "is not what was published" in run.stderr
    # With checksums made to fit, the signature tells.
    subprocess.run(f"sha256sum {archive.name} install.sh > SHA256SUMS", shell=True, cwd=dist, check=True)
    run = install(dist, tmp_path / "root", release / "mine.pub")
    assert run.returncode == 1 and "signature" in run.stderr
    run = install(release / "dist", tmp_path / "root", release / "other.pub")
    assert run.returncode == 1 and "signature" in run.stderr
    run = install("ftp://example.com", tmp_path / "root")
    assert run.returncode == 1 and "neither" in run.stderr
    assert not (tmp_path / "root").exists()


def test_a_program_that_is_too_large_is_not_released(release, tmp_path):
    folder = tmp_path / "binaries"
    folder.mkdir()
    for program in ("ferroswitch", "fs_cli"):
        shutil.copy(pathlib.Path(binary()).parent / program, folder / program)
    shutil.copy(shutil.which("strip"), folder / "strip")
    big = subprocess.run(["strip", "--strip-unneeded", "-o", folder / "small", folder / "ferroswitch"], capture_output=True)
    assert big.returncode == 0
    if (folder / "small").stat().st_size <= 25_000_000:
        pytest.skip("this build is small enough")
    run = subprocess.run([ROOT / "deploy/release", "--binaries", folder, "--out", tmp_path / "dist"], capture_output=True, text=True)
    assert run.returncode == 1 and "larger than" in run.stderr
