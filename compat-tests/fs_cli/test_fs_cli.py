"""fs_cli, one command at a time and on a terminal."""
import socket
import subprocess

import pytest

from harness.switch import binary
from harness.terminal import Terminal


@pytest.fixture
def run(site, tmp_path):
    """Runs fs_cli with the site's port and an empty home; returns the finished process."""
    def run(*args, port=site.esl_port, **more):
        return subprocess.run([binary("fs_cli"), "-P", str(port), *args], capture_output=True, text=True, timeout=30,
                              env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}, stdin=subprocess.DEVNULL, **more)
    run.home = tmp_path
    return run


@pytest.fixture
def terminal(site, tmp_path):
    opened = []

    def start(*args):
        t = Terminal([binary("fs_cli"), "-P", str(site.esl_port), *args], env={"HOME": str(tmp_path)})
        opened.append(t)
        return t
    yield start
    for t in opened:
        t.close()


def closed_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# ---- one command

@pytest.mark.quick
def test_the_answer_and_one_newline_are_printed(run):
    done = run("-x", "echo hello")
    assert (done.stdout, done.stderr, done.returncode) == ("hello\n", "", 0)


def test_a_long_option_with_an_equals_sign_works(run):
    assert run("--execute=echo hello").stdout == "hello\n"


def test_host_and_password_options_are_used(run):
    assert run("-H", "127.0.0.1", "-p", "ClueCon", "-x", "echo hello").stdout == "hello\n"


def test_an_error_answer_is_printed_and_the_status_stays_0(run):
    done = run("-x", "uuid_kill nobody")
    assert (done.stdout, done.returncode) == ("-ERR No such channel!\n\n", 0)


def test_an_unknown_command_is_named_with_its_arguments(run):
    assert run("-x", "nosuch a b").stdout == "-ERR nosuch a b Command not found!\n\n"


def test_status_and_version_look_like_the_references(run):
    assert run("-x", "status").stdout.startswith("UP 0 years, 0 days, 0 hours, ")
    assert run("-x", "version").stdout.startswith("FreeSWITCH Version 1.10.12")
    assert run("-x", "show channels").stdout == "\n0 total.\n\n"


def test_a_command_starting_a_call_starts_it(site, run):
    done = run("-x", "originate null/x &park()")
    assert done.stdout.startswith("+OK ")
    leg = done.stdout.split()[1]
    assert leg in run("-x", "show channels").stdout
    assert run("-x", f"uuid_kill {leg}").stdout == "+OK\n\n"


@pytest.mark.parametrize("option, status", [("-h", 0), ("-?", 0), ("--help", 0), ("--no-such-option", 1), ("-P", 1)])
def test_help_is_printed_and_wrong_usage_is_no_success(run, option, status):
    done = run(option)
    assert done.returncode == status
    for word in ("--host", "--port", "--password", "--execute", "--loglevel", "--retry", "--reconnect", "--debug", "--user", "--timeout", "--batchmode"):
        assert word in done.stdout + done.stderr, word


def test_a_refused_connection_is_255(run):
    done = run("-x", "status", port=closed_port())
    assert done.returncode == 255 and done.stdout == ""
    assert done.stderr.startswith("[ERROR] fs_cli.") and done.stderr.endswith("Error Connecting [Socket Connection Error]\n")


def test_a_wrong_password_is_255(run):
    done = run("-p", "wrong", "-x", "status")
    assert done.returncode == 255 and "Error Connecting [Authentication Error]" in done.stderr


def test_a_host_that_does_not_resolve_is_255(run):
    done = run("-H", "no-such-host.invalid", "-x", "status")
    assert done.returncode == 255 and "Error Connecting [Cannot resolve host]" in done.stderr


def test_the_last_of_two_equal_options_wins(site, run):
    assert run("-P", str(site.esl_port), "-x", "echo hello", port=1).stdout == "hello\n"


@pytest.mark.parametrize("args", [("-P", "0"), ("-P", "70000"), ("-d", "9")])
def test_a_wrong_number_is_1(run, args):
    assert run(*args, "-x", "status").returncode == 1


def test_an_answer_that_takes_too_long_is_254(site, run):
    site.carrier()                                  # takes the call and says nothing
    done = run("-t", "300", "-x", "originate {originate_timeout=2}sofia/gateway/carrier/1 &park()")
    assert done.returncode == 254 and "Request timed out." in done.stdout + done.stderr


def test_a_profile_from_the_home_folder_is_used(site, run):
    (run.home / ".fs_cli_conf").write_text(f"; mine\n[default]\nhost => 127.0.0.1\nport => 1\n\n[lab]\nhost = 127.0.0.1\nport => {site.esl_port} ;; here\npassword => ClueCon\n")
    done = subprocess.run([binary("fs_cli"), "-x", "echo hello", "lab"], capture_output=True, text=True, timeout=20,
                          env={"HOME": str(run.home), "PATH": "/usr/bin:/bin"})
    assert done.stdout == "hello\n"
    done = subprocess.run([binary("fs_cli"), "-x", "echo hello"], capture_output=True, text=True, timeout=20,
                          env={"HOME": str(run.home), "PATH": "/usr/bin:/bin"})
    assert done.returncode == 255


# ---- on a terminal

def prompt(site):
    return "freeswitch@" + site.switch.api("switchname").strip() + "> "


def test_a_session_has_a_prompt_answers_and_ends_with_exit(site, terminal):
    t = terminal("-q")
    t.expect(prompt(site))
    t.line("echo hello")
    t.expect(r"\nhello\n")
    t.expect(prompt(site))
    t.line("/exit")
    assert t.wait_end() == 0


def test_lines_typed_ahead_are_all_run(site, terminal):
    t = terminal("-q")
    t.expect(prompt(site))
    t.type("echo one\recho two\recho three\r")
    for word in ("one", "two", "three"):
        t.expect(rf"\n{word}\n")


def test_end_of_input_ends_the_session(site, terminal):
    t = terminal("-q")
    t.expect(prompt(site))
    t.type("\x04")
    assert t.wait_end() == 0


def test_slash_help_lists_the_slash_commands(site, terminal):
    t = terminal("-q")
    t.expect(prompt(site))
    t.line("/help")
    shown = t.expect(rf"(?s).*{prompt(site)}")[0]
    for word in ("/event", "/noevents", "/nixevent", "/log", "/nolog", "/filter", "/uuid", "/logfilter", "/debug", "/exit"):
        assert word in shown, word


def test_an_unknown_slash_command_is_named(site, terminal):
    t = terminal("-q")
    t.expect(prompt(site))
    t.line("/nonsense")
    t.expect(r"Unknown command \[nonsense\]")


def test_subscribed_events_are_shown(site, terminal):
    t = terminal("-q")
    t.expect(prompt(site))
    t.line("/event plain CHANNEL_CREATE")
    t.expect(r"\+OK event listener enabled plain")
    leg = site.switch.api("originate null/x &park()").split()[1]
    t.expect("RECV EVENT\n")
    t.expect("Event-Name: CHANNEL_CREATE")
    t.expect(leg)
    site.switch.api(f"uuid_kill {leg}")


def test_log_lines_are_shown_at_the_chosen_level(site, terminal):
    t = terminal("-l", "info")
    t.expect(r"\+OK log level")
    with site.esl() as other:
        other.api("log info a line for the terminal")
        other.api("log debug too fine for it")
        other.api("log notice the last line")
    t.expect("a line for the terminal")
    t.expect("the last line")
    assert "too fine" not in t.text


def test_tab_completes_a_command(site, terminal):
    t = terminal("-q")
    t.expect(prompt(site))
    t.type("globa\t")
    t.expect(r"global_setvar\]\s+\S+> global_")
    t.type("ge\t")
    t.expect("global_getvar ")


def test_tab_shows_the_choices(site, terminal):
    t = terminal("-q")
    t.expect(prompt(site))
    t.type("uuid_set\t\t")
    t.expect(r"uuid_setvar[\s\S]*uuid_setvar_multi|uuid_setvar_multi[\s\S]*uuid_setvar")


def test_the_last_line_comes_back_from_history(site, terminal):
    t = terminal("-q")
    t.expect(prompt(site))
    t.line("echo remembered")
    t.expect(r"\nremembered\n")
    t.expect(prompt(site))
    t.line("/exit")
    t.wait_end()
    again = terminal("-q")
    again.expect(prompt(site))
    again.type("\x1b[A\x1b[A")
    again.expect("echo remembered")
    again.type("\r")
    again.expect(r"\nremembered\n")


def test_a_prompt_of_ones_own_is_used(site, terminal, tmp_path):
    (tmp_path / ".fs_cli_conf").write_text("[default]\nprompt-string => box-%P\nquiet => true\n")
    t = terminal()
    t.expect(f"box-{site.esl_port}> ")


def test_it_connects_again_when_the_server_returns(site, tmp_path):
    t = Terminal([binary("fs_cli"), "-P", str(site.esl_port), "-q", "-R"], env={"HOME": str(tmp_path)})
    try:
        t.expect("> ")
        site.switch.stop(remove=False)
        site.start()
        t.line("echo back")
        t.expect(r"> ", timeout=20)
        t.line("echo again")
        t.expect(r"(\n|> )again\n", timeout=20)
    finally:
        t.close()
