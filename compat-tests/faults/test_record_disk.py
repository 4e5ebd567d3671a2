"""The disk of the journal of call records: full, read-only, and so slow that it does not answer. Calls go on in each case."""
import csv
import os
import shutil
import subprocess
import urllib.request

import pytest

from harness import tree
from harness.services import until

CONF = """<include>
<configuration name="cdr_csv.conf"><settings>
  <param name="log-base" value="{where}/records"/><param name="legs" value="a"/>
</settings></configuration>
<configuration name="http_api.conf"><settings><param name="listen-port" value="{http}"/></settings></configuration>
</include>"""


class Disk:
    """A file system of its own, a megabyte small, where the journal is."""

    def __init__(self, where, mount):
        self.image, self.mount = where / "disk.img", mount
        mount.mkdir(parents=True)
        subprocess.run(["truncate", "-s", "1M", self.image], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", self.image], check=True)
        self.is_there = subprocess.run(["mount", "-o", "loop", self.image, mount], capture_output=True).returncode == 0

    def run(self, *argv):
        subprocess.run([*argv, self.mount], check=True)

    def fill(self):
        """Takes all there is left, to the last byte."""
        with open(self.mount / "filler", "wb", buffering=0) as filler:
            for piece in (4096, 1):
                try:
                    while True:
                        filler.write(b"x" * piece)
                except OSError:
                    pass

    def remove(self):
        if self.is_there:
            subprocess.run(["fsfreeze", "-u", self.mount], capture_output=True)
            subprocess.run(["umount", self.mount], capture_output=True)


@pytest.fixture
def disk(fresh):
    if os.geteuid() != 0 or not all(map(shutil.which, ("mkfs.ext4", "fsfreeze"))):
        pytest.skip("SKIPPED: cannot make a small disk here")
    disk = Disk(fresh.where, fresh.where / "db/call_records")
    try:
        if not disk.is_there:
            pytest.skip("SKIPPED: cannot mount a small disk here")
        (fresh.conf / "autoload_configs/records.conf.xml").write_text(CONF.format(where=fresh.where, http=fresh.block[tree.HTTP]))
        modules = fresh.conf / "autoload_configs/modules.conf.xml"
        modules.write_text(modules.read_text().replace("</modules>", '<load module="mod_cdr_csv"/><load module="mod_http_api"/></modules>'))
        yield disk
    finally:
        subprocess.run(["fsfreeze", "-u", disk.mount], capture_output=True)
        if fresh.switch:
            fresh.switch.stop(remove=False)
        disk.remove()


def reading(site, name):
    with urllib.request.urlopen(f"http://127.0.0.1:{site.block[tree.HTTP]}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"ferroswitch_{name} "))


def called(site, esl):
    """A call that is answered and ends; its UUID, once its end is shown."""
    call = site.phone().invite("park")
    call.wait(200)
    call.hangup()
    return esl.wait_event("CHANNEL_HANGUP_COMPLETE", timeout=20).event["Unique-ID"]


def recorded(site):
    path = site.where / "records/cdr-csv/Master.csv"
    return [row[10] for row in csv.reader(path.read_text().splitlines())] if path.exists() else []


def test_a_full_disk_keeps_records_in_memory_until_there_is_room(fresh, disk):
    site = fresh.start()
    with site.esl() as esl:
        esl.command("event plain CHANNEL_HANGUP_COMPLETE")
        ended = [called(site, esl)]
        until(lambda: recorded(site) == ended, "record before the disk is full")
        disk.fill()
        # What is left of the journal's last block may take one or two yet.
        until(lambda: ended.append(called(site, esl)) or reading(site, "records_waiting") >= 3, "records that wait")
        assert "the call record is kept in memory" in site.switch.said(400) and "No space left" in site.switch.said(400)
        assert reading(site, "records_lost_total") == 0
        assert set(ended) - set(recorded(site))
        (disk.mount / "filler").unlink()
        until(lambda: set(ended) <= set(recorded(site)), "record of each call")
        ended.append(called(site, esl))
    until(lambda: ended[-1] in recorded(site), "record after it")
    assert recorded(site) == ended              # each once, in order
    assert reading(site, "records_waiting") == 0


def test_a_read_only_folder_refuses_the_module_and_no_call(fresh, disk):
    disk.run("mount", "-o", "remount,ro")
    site = fresh.start()
    assert site.switch.api("module_exists mod_cdr_csv").strip() == "false"
    assert "Read-only file system" in site.switch.said(400) and str(disk.mount) in site.switch.said(400)
    with site.esl() as esl:
        esl.command("event plain CHANNEL_HANGUP_COMPLETE")
        called(site, esl)
        disk.run("mount", "-o", "remount,rw")
        assert "+OK" in site.switch.api("load mod_cdr_csv")
        ended = called(site, esl)
    until(lambda: recorded(site) == [ended], "record once it can be written")


def test_a_disk_that_does_not_answer_holds_the_end_of_calls_for_two_seconds_and_no_call(fresh, disk):
    site = fresh.start()
    with site.esl() as esl:
        esl.command("event plain CHANNEL_HANGUP_COMPLETE")
        ended = [called(site, esl)]
        until(lambda: recorded(site) == ended, "record before")
        disk.run("fsfreeze", "-f")
        ended += [called(site, esl) for _ in range(3)]
        assert "the disk takes long to write the call record" in site.switch.said(400)
        assert recorded(site) == ended[:1]
        disk.run("fsfreeze", "-u")
        until(lambda: recorded(site) == ended, "record of each call, once and in order")
