#!/usr/bin/env python3
"""What a call costs that an office's functions answer, beside one that is parked: processor time of the switch for a call that `park`, a
script in Lua, voicemail, a queue of mod_callcenter and one of mod_fifo answer; and whether it starts so many menus in Lua a second.

    SWITCH_BIN=target/release office.py [--rate 50] [--seconds 20] [--length 1000] [--starts 200]

SWITCH_BIN is the folder of a release build; calls are SIPp's, over SIP without audio of theirs. Each is answered, stays for --length
milliseconds and is hung up. The cost of a call is what the switch uses beside its rest, divided by the calls; the last column is its
ratio to a parked call's, and at most 1.5 is the mark. A menu in Lua answers, plays and waits for a key: the calls that were refused or
lost are counted, and the share of a core that the starts took. SIPp runs beside the switch: run it on a machine that does nothing else.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
os.environ.setdefault("FERRO_BIN_DIR", os.environ.get("SWITCH_BIN", ""))

from harness import ports, tree                            # noqa: E402
from harness.switch import Switch                          # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
MODULES = ["mod_voicemail", "mod_callcenter", "mod_fifo", "mod_local_stream"]
ANSWER = "session:answer() while session:ready() do session:sleep(100000) end"
MENU = """session:answer()
local key = session:playAndGetDigits(1, 1, 1, 3000, "#", "silence_stream://500", "", "[0-9]")
session:setVariable("key", argv[1] .. key)
"""
CONF = """
<configuration name="voicemail.conf"><profiles><profile name="default"/></profiles></configuration>
<configuration name="fifo.conf"><settings/><fifos/></configuration>
<configuration name="callcenter.conf">
  <queues><queue name="desk@office"><param name="strategy" value="longest-idle-agent"/></queue></queues>
  <agents/><tiers/>
</configuration>
"""
# What callers hear, without the sounds that nobody has to install: as long as a greeting is.
LANGUAGE = """
<section name="languages"><language name="en"><phrases><macros>
  <macro name="voicemail_play_greeting"><input pattern="(.*)"><match><action function="play-file" data="silence_stream://4000"/></match></input></macro>
  <macro name="voicemail_record_message"><input pattern="(.*)"><match><action function="play-file" data="silence_stream://2000"/></match></input></macro>
</macros></phrases></language></section>
"""
KINDS = {
    "park": [("answer", ""), ("park", "")],
    "lua": [("lua", "{where}/answer.lua")],
    "voicemail": [("answer", ""), ("voicemail", "default $${{domain}} 1000")],
    "callcenter": [("answer", ""), ("callcenter", "desk@office")],
    "fifo": [("answer", ""), ("fifo", "hall in")],
    "menu": [("lua", "{where}/menu.lua one")],
}


def processor(pid):
    """Seconds of processor time a process has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def extension(kind, actions, where):
    steps = "".join(f'<action application="{name}" data="{data.format(where=where)}"/>' for name, data in actions)
    return f'<extension name="bench-{kind}"><condition field="destination_number" expression="^bench-{kind}$">{steps}</condition></extension>'


class Bench:
    def __init__(self):
        self.block, self.where = ports.claim(), pathlib.Path(tempfile.mkdtemp(prefix="switch-bench-"))
        folder = tree.small(self.block, self.where)
        (self.where / "answer.lua").write_text(ANSWER)
        (self.where / "menu.lua").write_text(MENU)
        (folder / "autoload_configs/bench.conf.xml").write_text(f"<include>{CONF}</include>\n")
        names = folder / "autoload_configs/modules.conf.xml"
        loads = "".join(f'<load module="{name}"/>' for name in MODULES)
        names.write_text(names.read_text().replace("</modules>", f"{loads}</modules>"))
        main = folder / "freeswitch.xml"
        main.write_text(main.read_text().replace("</document>", f"{LANGUAGE}</document>"))
        plan = folder / "dialplan/public.xml"
        own = "".join(extension(kind, actions, self.where) for kind, actions in KINDS.items())
        plan.write_text(plan.read_text().replace('<context name="public">', f'<context name="public">{own}', 1))
        self.switch = Switch(folder, self.block[tree.ESL], keep=self.where)
        for command in ("fsctl max_sessions 20000", "fsctl sps 5000", "fsctl loglevel 3"):
            self.switch.api(command)

    def close(self):
        self.switch.stop(remove=False)
        self.block.release()
        shutil.rmtree(self.where, ignore_errors=True)

    def used(self):
        return processor(self.switch.process.pid)

    def none(self):
        """Waits for the end of all calls."""
        end = time.monotonic() + 60
        while int(self.switch.api("show channels count").split()[0]):
            assert time.monotonic() < end, self.switch.api("show channels")
            time.sleep(0.1)

    def rest(self, seconds=3):
        before = self.used()
        time.sleep(seconds)
        return (self.used() - before) / seconds

    def calls(self, kind, rate, seconds, length):
        """So many calls a second; how many succeeded and how many failed."""
        count = int(rate * seconds)
        target = f"127.0.0.1:{self.block[tree.OPEN]}"
        line = ["sipp", target, "-sn", "uac", "-s", f"bench-{kind}", "-i", "127.0.0.1", "-r", str(rate), "-m", str(count), "-l", "20000",
                "-d", str(length), "-nostdin", "-trace_stat", "-stf", str(self.where / "stat.csv"), "-fd", "1"]
        (self.where / "stat.csv").unlink(missing_ok=True)
        subprocess.run(line, capture_output=True, timeout=seconds + length / 1000 + 120)
        rows = [row.split(";") for row in (self.where / "stat.csv").read_text().splitlines()]
        last = dict(zip(rows[0], rows[-1]))
        self.none()
        return int(last["SuccessfulCall(C)"]), int(last["FailedCall(C)"])

    def cost(self, kind, rate, seconds, length):
        """Milliseconds of processor time a call costs, and how many there were."""
        self.calls(kind, rate, 1, length)                   # first uses: files read, tables made
        idle, begin, before = self.rest(), time.monotonic(), self.used()
        made, failed = self.calls(kind, rate, seconds, length)
        used = self.used() - before - idle * (time.monotonic() - begin)
        return used / max(made, 1) * 1000, made, failed

    def starts(self, rate, seconds, length):
        begin, before = time.monotonic(), self.used()
        made, failed = self.calls("menu", rate, seconds, length)
        return made, failed, (self.used() - before) / (time.monotonic() - begin) * 100


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rate", type=int, default=50)
    options.add_argument("--seconds", type=int, default=20)
    options.add_argument("--length", type=int, default=1000)
    options.add_argument("--starts", type=int, default=200)
    options.add_argument("--only", help="kinds, separated by commas")
    given = options.parse_args()
    if not shutil.which("sipp"):
        sys.exit("office.py: needs sipp")
    kinds = [kind for kind in KINDS if kind != "menu" and re.search(rf"\b{kind}\b", given.only or kind)]
    bench = Bench()
    try:
        print(f"{given.rate} calls a second for {given.seconds} s, each {given.length} ms\n")
        base = None
        for kind in kinds:
            cost, made, failed = bench.cost(kind, given.rate, given.seconds, given.length)
            base = base or cost
            print(f"{kind:12} {cost:6.2f} ms a call   {cost / base:5.2f}   {made} calls, {failed} failed", flush=True)
        made, failed, share = bench.starts(given.starts, given.seconds, given.length)
        print(f"\nmenus in Lua at {given.starts} starts a second: {made} ran, {failed} failed, {share:.0f} % of a core")
    finally:
        bench.close()


if __name__ == "__main__":
    main()
