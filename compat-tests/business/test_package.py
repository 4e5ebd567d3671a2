"""The Debian package: built, installed onto a copy-on-write image of this machine, started, upgraded, removed."""
import os
import re
import shutil
import subprocess
import textwrap

import pytest

from harness.switch import ROOT, binary

# What happens inside: mounts and network are this process's own, nothing of it is left behind.
INSIDE = """
set -e
mount -t tmpfs none {image}
mkdir {image}/upper {image}/work {image}/merged
mount -t overlay overlay -o lowerdir=/,upperdir={image}/upper,workdir={image}/work {image}/merged
mount -t proc proc {image}/merged/proc
mount -t tmpfs none {image}/merged/run
mount --bind {shared} {image}/merged/mnt
mount --bind /dev {image}/merged/dev
ip link set lo up
exec chroot {image}/merged bash -e /mnt/script
"""

RUN = """
start() {
    setpriv --reuid ferroswitch --regid ferroswitch --init-groups ferroswitch -nf $DIRECTORIES >/mnt/log 2>&1 &
    echo $! >/mnt/pid
    for _ in $(seq 100); do
        fs_cli -t 2000 -x status >/mnt/status 2>/dev/null && return
        sleep 0.1
    done
    cat /mnt/log
    exit 1
}
stop() { kill $(cat /mnt/pid); wait $(cat /mnt/pid) || true; }
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    for tool in ("dpkg-deb", "lowdown", "unshare"):
        if not shutil.which(tool):
            pytest.skip(f"no {tool} here")
    out = tmp_path_factory.mktemp("package")
    run = subprocess.run([ROOT / "deploy/debian/build", "--binaries", os.path.dirname(binary()), "--out", out], capture_output=True, text=True,
                         env={**os.environ, "DPKG_DEB_COMPRESSOR_TYPE": "gzip"})
    assert run.returncode == 0, run.stderr
    return out / run.stdout.strip().rsplit("/", 1)[-1]


@pytest.fixture
def machine(package, tmp_path):
    """Runs a script as root of such an image; what it writes below /mnt is there afterwards."""
    image, shared = tmp_path / "image", tmp_path / "shared"
    image.mkdir()
    shared.mkdir()
    shutil.copy(package, shared / "package.deb")
    probe = subprocess.run(["unshare", "-mn", "sh", "-c", f"mount -t tmpfs none {image} && mkdir {image}/u {image}/w {image}/r && "
                            f"mount -t overlay overlay -o lowerdir=/,upperdir={image}/u,workdir={image}/w {image}/r"], capture_output=True, text=True)
    if probe.returncode:
        pytest.skip(f"no overlay of / may be mounted here: {probe.stderr.strip()}")

    def run(script):
        (shared / "script").write_text(RUN + textwrap.dedent(script))
        done = subprocess.run(["unshare", "-mn", "bash", "-c", INSIDE.format(image=image, shared=shared)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=80)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run.shared = shared
    return run


def test_it_installs_starts_and_goes(machine):
    said = machine("""
        DIRECTORIES="-conf /etc/ferroswitch"
        dpkg -i /mnt/package.deb
        start
        stop
        stat -c '%U %G %a' /etc/ferroswitch/vars.xml /var/lib/ferroswitch >/mnt/modes
        ls /etc/ferroswitch/tls >/mnt/certificates
        man -P cat ferroswitch >/mnt/manual
        echo '<!-- mine -->' >>/etc/ferroswitch/vars.xml
        dpkg --force-confold -i /mnt/package.deb
        tail -1 /etc/ferroswitch/vars.xml
        dpkg -r ferroswitch
        test -e /etc/ferroswitch/vars.xml
        touch /var/lib/ferroswitch/recordings/kept.wav
        dpkg -P ferroswitch
        test ! -e /etc/ferroswitch -a ! -e /var/log/ferroswitch
        test -e /var/lib/ferroswitch/recordings/kept.wav
    """)
    shared = machine.shared
    assert "is ready" in (shared / "status").read_text()
    assert (shared / "modes").read_text().split("\n")[:2] == ["root ferroswitch 640", "ferroswitch ferroswitch 750"]
    assert "dtls-srtp.pem" in (shared / "certificates").read_text()
    assert re.search(r"-drain\s+SECONDS", (shared / "manual").read_text())
    assert "<!-- mine -->" in said
    log = (shared / "log").read_text()
    assert "Permission denied" not in log and "Read-only" not in log


def test_an_installed_freeswitch_lends_its_configuration(machine):
    said = machine("""
        mkdir -p /etc/freeswitch/tls
        cp -r %s/conf/. /etc/freeswitch/
        echo '<X-PRE-PROCESS cmd="set" data="company=theirs"/>' >>/etc/freeswitch/vars.xml
        mkdir -p /var/lib/freeswitch/storage /var/lib/freeswitch/recordings
        groupadd -r freeswitch && useradd -r -g freeswitch freeswitch
        chown -R freeswitch:freeswitch /etc/freeswitch /var/lib/freeswitch
        chmod -R o-rwx,g+w /etc/freeswitch
        dpkg -i /mnt/package.deb
        . /etc/default/ferroswitch
        start
        fs_cli -x 'global_getvar company' >/mnt/company
        fs_cli -x 'global_getvar db_dir' >/mnt/db
        stop
        cp /var/lib/ferroswitch/freeswitch-report.txt /mnt/report
    """ % ROOT)
    shared = machine.shared
    assert (shared / "company").read_text().strip() == "theirs"
    assert (shared / "db").read_text().strip() == "/var/lib/ferroswitch/db"
    assert "honoured" in (shared / "report").read_text()
    assert "takes its place" in said
    log = (shared / "log").read_text()
    assert "Permission denied" not in log and "Read-only" not in log


def test_the_unit_is_sound_and_keeps_it_in_its_place():
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze here")
    unit = ROOT / "deploy/ferroswitch.service"
    run = subprocess.run(["systemd-analyze", "security", "--offline=true", unit], capture_output=True, text=True)
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", run.stdout)
    assert exposure and float(exposure[1]) <= 2.0, run.stdout + run.stderr
