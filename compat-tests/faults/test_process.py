"""The process itself: what init scripts, containers and administrators do to it."""
import os
import queue
import signal
import socket
import re
import shlex
import subprocess
import termios

import pytest

from harness import esl, tree
from harness.sip import Phone
from harness.switch import binary
from harness.terminal import Terminal


def call(*args, **more):
    return subprocess.run([binary(), *map(str, args)], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL, **more)


def test_the_version_names_the_one_it_is_compatible_with():
    done = call("-version")
    assert done.returncode == 0 and "1.10.12" in done.stdout


def test_help_is_printed():
    done = call("-help")
    assert done.returncode == 0 and "-conf" in done.stdout


def test_an_unknown_option_is_refused_by_name():
    done = call("-no-such-option")
    assert done.returncode != 0 and "no-such-option" in done.stdout + done.stderr


def test_a_missing_configuration_is_named(tmp_path):
    done = call("-nf", "-conf", tmp_path / "nowhere", "-log", tmp_path, "-db", tmp_path, "-run", tmp_path)
    assert done.returncode != 0 and str(tmp_path / "nowhere") in done.stdout + done.stderr


def test_a_broken_configuration_is_named_with_its_line(fresh):
    path = fresh.conf / "autoload_configs/switch.conf.xml"
    path.write_text(path.read_text().replace("</settings>", "</setings>"))
    done = call("-nf", "-conf", fresh.conf, "-log", fresh.where, "-db", fresh.where, "-run", fresh.where)
    assert done.returncode != 0
    assert "switch.conf.xml:8" in done.stdout + done.stderr


def test_the_flags_of_init_scripts_are_accepted(fresh):
    fresh.flags = ["-nc", "-np", "-rp", "-u", "root", "-g", "root", "-reincarnate", "-nosql", "-heavy-timer", "-nocal", "-waste", "-core"]
    fresh.start()
    assert fresh.switch.api("status").startswith("UP ")


def test_a_pid_file_holds_its_number(fresh):
    fresh.start()
    assert int((fresh.where / "run/freeswitch.pid").read_text()) == fresh.switch.pid


def test_a_second_one_on_the_same_run_folder_is_refused(fresh):
    fresh.start()
    done = call(*fresh.switch.argv[1:])
    assert done.returncode != 0
    assert fresh.switch.api("status").startswith("UP ")


def test_stop_ends_it(fresh):
    fresh.start()
    done = call("-stop", "-run", fresh.where / "run")
    assert done.returncode == 0, done.stderr
    assert fresh.switch.process.wait(15) == 0


def test_sigterm_ends_its_calls_and_itself(fresh):
    fresh.start()
    talk = fresh.phone().invite("echo")
    talk.wait(200)
    os.kill(fresh.switch.pid, signal.SIGTERM)
    talk.wait_end()
    assert fresh.switch.process.wait(15) == 0
    assert not (fresh.where / "run/freeswitch.pid").exists()


def test_sighup_leaves_it_and_its_calls_running(fresh):
    fresh.start()
    talk = fresh.phone().invite("echo")
    talk.wait(200)
    os.kill(fresh.switch.pid, signal.SIGHUP)
    assert fresh.switch.api("echo alive") == "alive"
    talk.hangup()


def test_shutdown_over_the_event_socket_ends_it(fresh):
    fresh.start()
    with fresh.esl() as esl:
        esl.send("api fsctl shutdown now")
        assert fresh.switch.process.wait(15) == 0


def test_an_event_socket_client_is_told_of_the_shutdown(fresh):
    fresh.start()
    with fresh.esl() as esl:
        os.kill(fresh.switch.pid, signal.SIGTERM)
        notice = esl.read()
        assert notice.type == "text/disconnect-notice" and notice.body == "The system is being shut down.\n"


class Registrar(Phone):
    """Takes every registration; keeps what was asked for."""

    def __init__(self, server, **more):
        self.lifetimes = queue.Queue()
        super().__init__(server, **more)

    def reply(self, request, *_answer, **_more):
        assert request.method == "REGISTER", request.start
        super().reply(request, 200, "OK", [f"Expires: {request['expires']}"], tag="registrar")
        self.lifetimes.put(int(request["expires"]))


def test_registrations_with_others_are_given_up_at_the_end(fresh):
    registrar = Registrar(fresh.sip(tree.OPEN), port=fresh.block[tree.CARRIER])
    fresh.phones.append(registrar)
    profile = fresh.conf / "sip_profiles/open.xml"
    profile.write_text(profile.read_text().replace('name="register" value="false"', 'name="register" value="true"').replace(
        '<param name="caller-id-in-from"', '<param name="username" value="us"/><param name="password" value="x"/><param name="caller-id-in-from"'))
    fresh.start()
    assert registrar.lifetimes.get(timeout=10) > 0
    with fresh.esl() as esl:
        for _ in range(100):
            if "REGED" in esl.api("sofia status gateway carrier"):
                break
            esl.api("msleep 20")
    os.kill(fresh.switch.pid, signal.SIGTERM)
    assert registrar.lifetimes.get(timeout=10) == 0
    assert fresh.switch.process.wait(15) == 0


# ---- the console of the foreground

PROMPT = r"freeswitch@\S+> "
LISTENS = "The Event Socket listens on 127.0.0.1:"


@pytest.fixture
def foreground(fresh):
    """Starts it on a terminal; `shell` gives it a command line of its own, in which {} stands for the switch."""
    opened = []

    def start(shell=None):
        for name in ("log", "db", "run"):
            (fresh.where / name).mkdir(exist_ok=True)
        argv = [binary(), "-nonat", "-conf", fresh.conf, "-log", fresh.where / "log", "-db", fresh.where / "db", "-run", fresh.where / "run"]
        argv = [str(word) for word in argv]
        if shell:
            argv = ["bash", "-c", shell.replace("{}", shlex.join(argv))]
        opened.append(Terminal(argv, env={"HOME": str(fresh.where)}))
        return opened[-1]
    yield start
    if (pid := running(fresh)) and os.path.exists(f"/proc/{pid}"):
        os.kill(pid, signal.SIGKILL)
    for terminal in opened:
        terminal.close()


def running(fresh):
    file = fresh.where / "run/freeswitch.pid"
    return int(file.read_text()) if file.exists() else None


def ask(fresh, command):
    with esl.Client(("127.0.0.1", fresh.esl_port), "ClueCon") as client:
        return client.api(command)


def test_the_start_ends_with_where_it_listens_and_a_prompt(fresh, foreground):
    t = foreground()
    t.expect(re.escape(f"{LISTENS}{fresh.esl_port}; try: fs_cli -P {fresh.esl_port} -x status"))
    t.expect(PROMPT)
    assert ask(fresh, "echo there") == "there"


def test_commands_typed_in_the_foreground_are_answered(fresh, foreground):
    t = foreground()
    before = termios.tcgetattr(t.fd)
    t.expect(PROMPT)
    t.line("echo hello")
    t.expect(r"\nhello\n" + PROMPT)
    t.line("nosuch thing")
    t.expect(r"\nUnknown Command: nosuch\n")
    t.line("echo one;;echo two")
    t.expect(r"\none\ntwo\n")
    t.expect(PROMPT)
    t.type("\x1b[A\r")                              # the line before
    t.expect(r"\none\ntwo\n")
    t.expect(PROMPT)
    t.type("sofia xm\t")
    t.expect("sofia xmlstatus ")
    t.type("\x15")                                  # away with it
    t.line("/help")
    t.expect("ends the switch")
    t.line("global_setvar typed=here")
    t.expect(r"\+OK")
    assert ask(fresh, "global_getvar typed") == "here"
    t.line("...")
    assert t.wait_end() == 0
    assert "The switch has ended" in t.text and not (fresh.where / "run/freeswitch.pid").exists()
    assert termios.tcgetattr(t.fd)[:4] == before[:4]
    assert "echo one;;echo two" in (fresh.where / ".ferroswitch_history").read_text()


@pytest.mark.parametrize("ending", ("shutdown\r", "fsctl shutdown now\r", "/quit\r", "\x03"))
def test_the_foreground_ends_it(foreground, ending):
    t = foreground()
    t.expect(PROMPT)
    t.type(ending)
    assert t.wait_end() == 0


def test_a_log_line_does_not_tear_what_is_being_typed(fresh, foreground):
    t = foreground()
    t.expect(PROMPT)
    t.type("echo from one ")
    t.expect("echo from one ")
    with esl.Client(("127.0.0.1", fresh.esl_port), "ClueCon") as client:
        for n in range(20):
            assert client.api(f"log err between-{n}") == "+OK\n"
        t.expect(r"between-19\n" + PROMPT + "echo from one ")
    assert re.search(r"between-7\n(freeswitch@\S+> echo from one )?2", t.text), "a line of its own, and none empty"
    t.line("piece")
    t.expect(r"\nfrom one piece\n")


def test_ctrl_d_says_how_to_end_it(fresh, foreground):
    t = foreground()
    t.expect(PROMPT)
    t.type("\x04")
    t.expect(r"shutdown to end the switch")
    t.line("echo still")
    t.expect(r"\nstill\n")


def test_it_goes_on_when_its_terminal_is_closed(fresh, foreground):
    t = foreground()
    t.expect(PROMPT)
    os.close(t.fd)
    t.fd = os.open("/dev/null", os.O_RDWR)
    for n in range(50):
        assert ask(fresh, f"log err to-nobody-{n}") == "+OK\n"
    assert ask(fresh, "echo alive") == "alive"
    ask(fresh, "fsctl shutdown now")
    assert os.waitstatus_to_exitcode(os.waitpid(t.pid, 0)[1]) == 0
    t.status = 0


@pytest.mark.parametrize("shell", ("{} </dev/null", "exec {} | cat", "set -m; {} & wait"), ids=("nothing", "output", "background"))
def test_without_a_terminal_of_its_own_there_is_no_console(fresh, foreground, shell):
    t = foreground(shell)
    t.expect(LISTENS)
    t.type("shutdown\r")
    assert ask(fresh, "echo alive") == "alive"
    ask(fresh, "log err last-line")
    t.expect("last-line")
    assert not re.search(PROMPT, t.text)
    with open(f"/proc/{running(fresh)}/stat") as f:
        assert f.read().rpartition(")")[2].split()[0] != "T"


PIPED = r"echo 'global_setvar piped=here'; echo; echo 'nosuch thing'; printf 'echo one;;echo \xff two\necho last'"


@pytest.mark.parametrize("shell", (f"({PIPED}) | {{}}", f"({PIPED}) >lines; {{}} <lines"), ids=("pipe", "file"))
def test_lines_of_a_pipe_or_a_file_are_commands_and_their_end_is_not_the_switchs(fresh, foreground, shell):
    t = foreground(f"cd {shlex.quote(str(fresh.where))}; {shell}")
    t.expect(r"\+OK\n")
    t.expect(r"Unknown Command: nosuch\n")
    t.expect("one\n(.*\n)*?\ufffd two\n")
    t.expect(r"last\n")
    assert ask(fresh, "global_getvar piped") == "here"
    assert not re.search(PROMPT, t.text)
    t.type("shutdown\r")
    assert ask(fresh, "echo alive") == "alive"


def test_a_pipe_can_end_it(foreground):
    t = foreground("(echo 'echo before'; echo shutdown; echo 'echo after') | {}")
    t.expect(r"\nbefore\n")
    assert t.wait_end() == 0
    assert "\nafter\n" not in t.text


def test_with_no_port_at_all_the_start_fails_and_says_so(fresh):
    taken = [socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM) for _ in range(3)]
    try:
        for sock, which in zip(taken, (tree.ESL, tree.OPEN, tree.AUTH) * 2):
            sock.bind(("127.0.0.1", fresh.block[which]))
            if sock.type == socket.SOCK_STREAM:
                sock.listen()
        for flag in ("-nc", "-nf"):
            done = call(flag, "-conf", fresh.conf, "-log", fresh.where, "-db", fresh.where, "-run", fresh.where)
            assert done.returncode != 0, flag
            assert "No port could be opened" in done.stdout + done.stderr
    finally:
        for sock in taken:
            sock.close()
