"""The process itself: what init scripts, containers and administrators do to it."""
import os
import queue
import signal
import subprocess

from harness import tree
from harness.sip import Phone
from harness.switch import binary


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
