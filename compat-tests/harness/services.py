"""Debian's services, each started on free ports with a folder of its own and ended by its process id."""
import json
import logging
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 60           # seconds a service may take to answer on a busy machine


def needs(*programs):
    """Name of a program that is not installed, if any."""
    return next((program for program in programs if not find(program)), None)


def find(program):
    """Path of a program, in the path or where Debian hides it."""
    places = [*sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), pathlib.Path("/usr/lib/rabbitmq/bin"),
              pathlib.Path("/usr/sbin")]
    found = shutil.which(program)
    return found or next((str(place / program) for place in places if (place / program).exists()), None)


def until(found, what, seconds=PATIENCE):
    """What `found` gives once it gives something."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, f"no {what} after {seconds} s"
        time.sleep(0.05)
    return value


class Service:
    """A process that is started, killed and ended."""

    def __init__(self, argv, where, env=None, user=None):
        self.argv, self.where, self.env, self.user = argv, pathlib.Path(where), env, user
        self.process = None

    def spawn(self):
        output = open(self.where / "output.log", "ab")
        self.process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=self.where,
                                        env={**os.environ, **(self.env or {})}, user=self.user, start_new_session=True)
        output.close()
        return self

    def said(self):
        return (self.where / "output.log").read_text(errors="replace")[-3000:]

    def kill(self):
        """SIGKILL to all of it."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, how=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            self._signal(how)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()

    def _signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass


class Prometheus(Service):
    """Prometheus, scraping one address every second."""

    def __init__(self, where, port, target, rules):
        where.mkdir()
        config = {"global": {"scrape_interval": "1s", "evaluation_interval": "1s"}, "rule_files": [str(rules)],
                  "scrape_configs": [{"job_name": "ferroswitch", "static_configs": [{"targets": [target]}]}]}
        (where / "prometheus.yml").write_text(json.dumps(config))
        super().__init__([find("prometheus"), f"--config.file={where}/prometheus.yml", f"--storage.tsdb.path={where}/data",
                          f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"], where)
        self.base = f"http://127.0.0.1:{port}/api/v1/"

    def ask(self, what, **params):
        url = self.base + what + ("?" + urllib.parse.urlencode(params) if params else "")
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            if error.code == 503:           # it is still starting
                return None
            raise AssertionError(f"{what} {params}: {error.read().decode()}") from None
        except OSError:
            return None

    def query(self, expression):
        """Results of an expression now; an expression that is wrong fails."""
        data = self.ask("query", query=expression)
        return data and data["result"]


class Postgres(Service):
    """A PostgreSQL cluster of its own."""

    def __init__(self, port):
        # Not below pytest's folders: only their owner may enter those.
        where = pathlib.Path(tempfile.mkdtemp(prefix="switch-test-pg-"))
        self.port = port
        user = None
        if os.geteuid() == 0:           # it refuses to run as root
            user = "postgres"
            shutil.chown(where, user, user)
        subprocess.run([find("initdb"), "-D", str(where / "data"), "-U", "switch", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C"],
                       check=True, stdout=subprocess.DEVNULL, user=user, cwd=where)
        super().__init__([find("postgres"), "-D", str(where / "data"), "-p", str(port), "-h", "127.0.0.1", "-k", str(where), "-c", "fsync=off"],
                         where, user=user)

    def start(self):
        def answers():
            # Children of one that was killed hold its memory until they have noticed: it does not start before.
            if self.process is None or self.process.poll() is not None:
                self.spawn()
            return self.ask("SELECT 1") == [["1"]]

        until(answers, "database")
        return self

    def stop(self, how=signal.SIGINT):
        """A fast end: clients are disconnected."""
        super().stop(how)
        shutil.rmtree(self.where, ignore_errors=True)

    def ask(self, sql, database="postgres"):
        """Rows as lists of text; None while it cannot be asked."""
        run = subprocess.run([find("psql"), "-h", "127.0.0.1", "-p", str(self.port), "-U", "switch", "-d", database, "-AtqX", "-F", "\t", "-c", sql],
                             capture_output=True, text=True)
        return [line.split("\t") for line in run.stdout.splitlines()] if run.returncode == 0 else None


class Rabbit(Service):
    """A RabbitMQ broker with a node of its own."""

    SCRIPTS = pathlib.Path("/usr/lib/rabbitmq/lib")

    @classmethod
    def is_installed(cls):
        return any(cls.SCRIPTS.glob("*/sbin/rabbitmq-server"))

    def __init__(self, where, port, distribution):
        where.mkdir()
        self.port = port
        env = {"RABBITMQ_NODENAME": f"test{port}@localhost", "RABBITMQ_NODE_PORT": str(port), "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
               "RABBITMQ_DIST_PORT": str(distribution), "ERL_EPMD_PORT": str(distribution + 1), "ERL_EPMD_ADDRESS": "127.0.0.1", "HOME": str(where),
               "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none", "RABBITMQ_CONF_ENV_FILE": str(where / "none")}
        files = {"MNESIA_BASE": "mnesia", "LOG_BASE": "log", "ENABLED_PLUGINS_FILE": "plugins", "PID_FILE": "pid", "CONFIG_FILE": "rabbit",
                 "SCHEMA_DIR": "schema", "GENERATED_CONFIG_DIR": "config"}
        env.update({f"RABBITMQ_{name}": str(where / file) for name, file in files.items()})
        (where / "rabbit.conf").write_text("disk_free_limit.absolute = 10MB\n")
        (where / "plugins").write_text("[].\n")
        super().__init__([str(next(self.SCRIPTS.glob("*/sbin/rabbitmq-server")))], where, env)

    def start(self):
        import pika

        def answers():
            if self.process is None or self.process.poll() is not None:
                self.spawn()
            try:
                pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self.port, heartbeat=0)).close()
                return True
            except (OSError, pika.exceptions.AMQPError):
                return False

        logging.getLogger("pika").setLevel(logging.CRITICAL)
        until(answers, "broker")
        return self

    def stop(self, how=signal.SIGTERM):
        super().stop(how)
        # The port mapper that Erlang started beside it.
        subprocess.run(["epmd", "-kill"], env={**os.environ, **self.env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Redis(Service):
    """A Redis (or Valkey) server that keeps nothing on disk, with a password."""

    PASSWORD = "compat-redis"

    def __init__(self, where, port):
        where.mkdir()
        self.port = port
        self.program = "redis" if find("redis-server") else "valkey"
        super().__init__([find(f"{self.program}-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                          "--requirepass", self.PASSWORD, "--dir", str(where)], where)

    @staticmethod
    def is_installed():
        return find("redis-server") is not None or find("valkey-server") is not None

    def start(self):
        def answers():
            if self.process is None or self.process.poll() is not None:
                self.spawn()
            return self.ask("ping") == "PONG"

        until(answers, "redis")
        return self

    def ask(self, *words):
        """What the server says to a command; None while it cannot be asked."""
        run = subprocess.run([find(f"{self.program}-cli"), "-h", "127.0.0.1", "-p", str(self.port), "--no-auth-warning", "--raw", *map(str, words)],
                             capture_output=True, text=True, env={**os.environ, "REDISCLI_AUTH": self.PASSWORD}, timeout=60)
        return run.stdout.rstrip("\n") if run.returncode == 0 else None

    def table(self, key):
        """Fields of a hash."""
        lines = (self.ask("hgetall", key) or "").splitlines()
        return dict(zip(lines[::2], lines[1::2]))

    def listen(self, channel):
        """A process whose output is what is published."""
        cli = subprocess.Popen([find(f"{self.program}-cli"), "-h", "127.0.0.1", "-p", str(self.port), "--no-auth-warning", "--raw", "subscribe", channel],
                               stdout=subprocess.PIPE, text=True, env={**os.environ, "REDISCLI_AUTH": self.PASSWORD})
        for _ in range(3):          # subscribe, the channel, a number
            cli.stdout.readline()
        return cli
