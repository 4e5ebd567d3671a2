"""Reading the configuration again: what is said of it, and to whom."""
import secrets
import subprocess
import time

import pytest

from harness.switch import binary

WRONG = '<extension name="new"><condition field="destination_number" expression="^new$"><action application="answr"/></condition></extension>'


@pytest.fixture
def site(fresh):
    return fresh.start()


@pytest.fixture
def public(site):
    return site.conf / "dialplan/public.xml"


def cli(site, command):
    """Lines fs_cli prints."""
    done = subprocess.run([binary("fs_cli"), "-P", str(site.esl_port), "-x", command], capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def place(path, text):
    (line,) = [n for n, line in enumerate(path.read_text().splitlines(), 1) if text in line]
    return f"{path}:{line}:"


def add(path, text):
    whole = path.read_text()
    path.write_text(whole.replace("</context>", text + "\n</context>", 1))
    return whole


def logged(site, text):
    """How often the log has a line with this; everything logged before is counted."""
    mark = f"up to here {secrets.token_hex(4)}"
    site.switch.api(f"log err {mark}")
    while mark not in (log := (site.where / "output.log").read_text()):
        time.sleep(0.02)
    return log.count(text)


def test_a_person_is_told_the_place_of_an_error(site, public):
    whole = public.read_text()
    public.write_text(whole.replace("</condition>", "</conditoin>", 1))
    where = place(public, "</conditoin>")
    lines = cli(site, "reloadxml")
    assert lines[0].startswith("+OK [[error near line ") and lines[1].startswith(where) and "</conditoin>" in lines[1], lines
    # A program is told what the reference says, in one line.
    assert site.switch.api("reloadxml") == lines[0] + "\n"
    public.write_text(whole)
    assert cli(site, "reloadxml")[0] == "+OK [Success]"


def test_a_person_is_told_what_is_different(site, public):
    assert [line for line in cli(site, "reloadxml") if line] == ["+OK [Success]"]
    add(public, WRONG.replace("answr", "answer"))
    lines = [line for line in cli(site, "reloadxml") if line]
    assert lines == ["+OK [Success]", "Configuration added: extension public/new"]
    public.write_text(public.read_text().replace('"^new$"', '"^newer$"'))
    assert site.switch.api("reloadxml") == "+OK [Success]\n"
    assert [line for line in cli(site, "reloadxml") if line] == ["+OK [Success]"]


def test_a_mistake_that_leaves_the_rest_usable_is_told_with_the_changes(site, public):
    add(public, WRONG)
    lines = [line for line in cli(site, "reloadxml") if line]
    assert lines[0] == "+OK [Success]" and lines[2:] == ["Configuration added: extension public/new"]
    assert lines[1].startswith(place(public, "answr")) and 'did you mean "answer"?' in lines[1]


def test_trying_changes_nothing(site, public):
    with site.esl() as client:
        client.command("event plain ALL")
        whole = add(public, WRONG.replace("answr", "answer"))
        tried = client.api("reloadxml dry")
        assert tried == "+OK [Success]\nConfiguration added: extension public/new\nTried only: nothing has changed yet\n"
        assert client.api("reloadxml dry") == tried
        site.phone().invite("new").wait(404)
        public.write_text(whole.replace("</condition>", "</conditoin>", 1))
        where = place(public, "</conditoin>")
        lines = client.api("reloadxml DRY").splitlines()
        assert lines[0].startswith("+OK [[error near line ") and lines[1].startswith(where) and len(lines) == 2
        public.write_text(whole)
        assert client.api("reloadxml dry") == "+OK [Success]\nTried only: nothing would change\n"
        client.command("sendevent CUSTOM\nEvent-Subclass: marked")
        client.wait_event("CUSTOM", Event_Subclass="marked")
        assert not [m for m in client.events if m.event.get("Event-Name") == "RELOADXML"]
        assert client.api("reloadxml") == "+OK [Success]\n"
        client.wait_event("RELOADXML")


def test_a_complaint_is_logged_once(site, public):
    add(public, WRONG)
    where = place(public, "answr")
    for _ in range(3):
        assert site.switch.api("reloadxml") == "+OK [Success]\n"
    assert logged(site, where) == 1
    # While another file cannot be read, and when it can be again.
    other = site.conf / "directory/users.xml"
    whole = other.read_text()
    other.write_text(whole + "<")
    assert "Success" not in site.switch.api("reloadxml")
    other.write_text(whole)
    assert site.switch.api("reloadxml") == "+OK [Success]\n"
    assert logged(site, where) == 1
    # Mended and made again, it is new.
    wrong = public.read_text()
    public.write_text(wrong.replace("answr", "answer"))
    assert site.switch.api("reloadxml") == "+OK [Success]\n"
    public.write_text(wrong)
    assert site.switch.api("reloadxml") == "+OK [Success]\n"
    assert logged(site, where) == 2


def test_what_the_start_complained_of_is_not_said_again(fresh):
    public = fresh.conf / "dialplan/public.xml"
    add(public, WRONG)
    where = place(public, "answr")
    fresh.start()
    assert fresh.switch.api("reloadxml") == "+OK [Success]\n"
    assert logged(fresh, where) == 1
