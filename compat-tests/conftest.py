"""Fixtures: a running switch on a tree, phones to call it with, and the checks every test ends with."""
import pathlib
import sys
import time

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from harness import office, ports, tree  # noqa: E402
from harness.sip import Phone  # noqa: E402
from harness.switch import Switch  # noqa: E402

ESL_SOCKETS = 3         # connections other than the harness's own that may be closing at the moment of counting


class Site:
    """A server on a tree of its own, with everything a test wants to know about it."""

    def __init__(self, where, make_conf, flags=(), password="ClueCon"):
        self.block, self.where, self.phones = ports.claim(), where, []
        self.conf = make_conf(self.block, where)
        self.flags, self.password = flags, password
        self.esl_port, self.app_port = self.block[tree.ESL], self.block[tree.APP]
        self.switch = None

    def start(self, **more):
        self.switch = Switch(self.conf, self.esl_port, self.password, self.flags, keep=self.where, **more)
        self.sockets = None
        return self

    def sip(self, which):
        """Address of a SIP profile: OPEN, AUTH, EXTERNAL or INTERNAL of harness.tree."""
        return "127.0.0.1", self.block[which]

    def phone(self, which=tree.OPEN, **more):
        phone = Phone(self.sip(which), **more)
        self.phones.append(phone)
        return phone

    def carrier(self, **more):
        """A phone on the address the gateway `carrier` sends to."""
        return self.phone(port=self.block[tree.CARRIER], **more)

    def esl(self, **more):
        return self.switch.esl(**more)

    def settle(self):
        """Closes the test's phones; what is wrong with the server afterwards."""
        for phone in self.phones:
            phone.close()
        self.phones.clear()
        wrong = []
        if not self.switch.alive():
            wrong.append(f"the server ended with status {self.switch.process.returncode}")
        elif left := self.switch.wait_idle():
            wrong.append(f"{left} channels left:\n{self.switch.api('show channels')}")
            self.switch.api("hupall")
            self.switch.wait_idle()
        wrong += [f"panic: {line}" for line in self.switch.panicked()]
        if self.switch.alive():
            wrong += self._socket_leak()
        return wrong

    def _socket_leak(self):
        count = self.switch.sockets()
        until = time.monotonic() + 5                    # those a test closed may take the server a moment
        while self.sockets is not None and count > self.sockets + ESL_SOCKETS and time.monotonic() < until:
            time.sleep(0.05)
            count = self.switch.sockets()
        if self.sockets is None:
            self.sockets = count
        return [f"{count} sockets, {self.sockets} at first"] if count > self.sockets + ESL_SOCKETS else []

    def close(self):
        if self.switch:
            self.switch.stop(remove=False)
        self.block.release()


def shared_site(make_conf, flags=()):
    """A module-scoped server: it starts once per test file."""
    @pytest.fixture(scope="module")
    def fixture(tmp_path_factory):
        needs_trees = getattr(make_conf, "needs_trees", make_conf not in (tree.small, tree.shipped))
        if needs_trees and not tree.TREES.is_dir():
            pytest.skip(f"SKIPPED: no configuration trees in {tree.TREES}")
        site = Site(tmp_path_factory.mktemp("site"), make_conf, flags)
        try:
            yield site.start()
        finally:
            site.close()
    return fixture


small_server = shared_site(tree.small)
vanilla_server = shared_site(tree.vanilla)


def settled(site):
    """The site for one test; afterwards nothing may be left in it."""
    if not site.switch.alive():
        site.start()
    yield site
    wrong = site.settle()
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def site(small_server):
    yield from settled(small_server)


@pytest.fixture
def esl(site):
    """A connection to the test's server that has subscribed to every event."""
    yield from office.listening(site, "ALL")


@pytest.fixture
def vanilla(vanilla_server):
    yield from settled(vanilla_server)


@pytest.fixture
def fresh(tmp_path):
    """A server of the test's own, on the small tree; the test starts it."""
    site = Site(tmp_path, tree.small)
    yield site
    site.close()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A failed test shows the end of the server's log."""
    report = (yield).get_result()
    if report.failed:
        sites = {id(v): v for v in getattr(item, "funcargs", {}).values() if isinstance(v, Site) and v.switch}
        for site in sites.values():
            report.sections.append(("server", site.switch.said(60)))
