"""OpenTelemetry traces: one trace covers a call with its legs, its dialplan, its web lookups and its bot; a collector that is
down harms nothing."""
import hashlib
import json
import urllib.request

import pytest

from harness import tree
from harness.bot import Bot
from harness.services import until
from harness.web import Web, document

COLLECTOR, LOOKUPS, BOT = 71, 72, 73
KEY = "traces-key"
CONF = """<include>
<configuration name="opentelemetry.conf"><settings>
  <param name="endpoint" value="http://127.0.0.1:{collector}"/><param name="header" value="x-team: voice"/><param name="interval-ms" value="100"/>
  <param name="service-name" value="switch-of-the-test"/>{more}
</settings></configuration>
<configuration name="xml_curl.conf"><bindings>
  <binding name="lookups"><param name="gateway-url" value="http://127.0.0.1:{lookups}/dialplan?password=secret" bindings="dialplan"/></binding>
</bindings></configuration>
<configuration name="http_api.conf"><settings>
  <param name="listen-port" value="{http}"/><param name="dial-string" value="sofia/open/{{to}}@127.0.0.1:{carrier}"/><param name="default-context" value="public"/>
</settings><api-keys><api-key name="all" sha256="{hash}" scopes="calls:read calls:write"/></api-keys></configuration>
</include>"""
NUMBER = "4711471147114711"
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Collector(Web):
    """Takes OTLP; `spans` are those of all requests, with the attributes as a dictionary."""

    def __init__(self, port):
        super().__init__(port)
        self.guard = lambda request: (200, "{}", {"Content-Type": "application/json"})

    @property
    def spans(self):
        found = []
        for request in list(self.requests):
            for resource in json.loads(request["body"])["resourceSpans"]:
                for scope in resource["scopeSpans"]:
                    for span in scope["spans"]:
                        span["facts"] = {fact["key"]: next(iter(fact["value"].values())) for fact in span["attributes"]}
                        found.append(span)
        return found

    def of(self, trace):
        return [span for span in self.spans if span["traceId"] == trace]


def serve(fresh, more="", lookups=True):
    text = CONF.format(collector=fresh.block[COLLECTOR], lookups=fresh.block[LOOKUPS], http=fresh.block[tree.HTTP], carrier=fresh.block[tree.CARRIER],
                       hash=hashlib.sha256(KEY.encode()).hexdigest(), more=more)
    (fresh.conf / "autoload_configs/traces.conf.xml").write_text(text)
    modules = fresh.conf / "autoload_configs/modules.conf.xml"
    loads = "".join(f'<load module="{name}"/>' for name in ("mod_opentelemetry", "mod_http_api", *(["mod_xml_curl"] if lookups else [])))
    modules.write_text(modules.read_text().replace("</modules>", f"{loads}</modules>"))
    return fresh.start()


@pytest.fixture
def collector(fresh):
    collector = Collector(fresh.block[COLLECTOR])
    yield collector
    collector.close()


def test_one_trace_covers_a_call(fresh, collector):
    lookups, bot = Web(fresh.block[LOOKUPS]), Bot(fresh.block[BOT])
    try:
        site = serve(fresh)
        steps = (f'<action application="set" data="result=${{curl(http://127.0.0.1:{fresh.block[LOOKUPS]}/asked)}}"/>'
                 f'<action application="bridge" data="sofia/gateway/carrier/{NUMBER}"/>')
        lookups.answers["dialplan"] = lambda fields: document(
            "dialplan", f'<context name="public"><extension name="traced"><condition>{steps}</condition></extension></context>')
        carrier, phone = site.carrier(), site.phone()
        call = phone.invite("traced")
        leg = carrier.accept()
        leg.answer()
        call.wait(200)
        uuid = site.switch.api("show channels").splitlines()[1].split(",")[0]
        reply = site.switch.api(f"uuid_audio_fork {uuid} start {bot.url} mono 8000")
        assert reply.startswith("+OK"), reply
        bot.accept()
        call.hangup()
        leg.wait_end()
        trace = lookups.wait(section="dialplan")["headers"]["traceparent"].split("-")[1]
        wanted = {"call in", "call out", "dialplan", "setup", "conversation", "bridge", "set", "POST", "GET"}
        until(lambda: wanted <= {span["name"] for span in collector.of(trace)}, "spans of both legs")
        spans = {span["name"]: span for span in collector.of(trace)}
        # Each is within another, and they hang together.
        ids = {span["spanId"] for span in collector.of(trace)}
        first = spans["call in"]
        assert "parentSpanId" not in first and first["kind"] == 2
        assert all(span["parentSpanId"] in ids for span in collector.of(trace) if span is not first and span["spanId"] != first["spanId"])
        assert spans["call out"]["parentSpanId"] == spans["bridge"]["spanId"] and spans["POST"]["parentSpanId"] == spans["dialplan"]["spanId"]
        # The servers were told of the spans that asked them.
        asked = next(request for request in lookups.requests if request["path"] == "/asked")
        assert asked["headers"]["traceparent"] == f'00-{trace}-{spans["GET"]["spanId"]}-01'
        assert bot.requests[0].headers["traceparent"].split("-")[1] == trace
        # What is secret or personal stays at home.
        said = json.dumps(collector.spans)
        assert "secret" not in said and NUMBER not in said and spans["POST"]["facts"]["http.response.status_code"] == "200"
        assert [event["name"] for event in first["events"]][-1] == "hangup" and first["facts"]["call.hangup_cause"] == "NORMAL_CLEARING"
        assert collector.requests[0]["headers"]["x-team"] == "voice" and collector.requests[0]["path"] == "/v1/traces"
        assert "switch-of-the-test" in collector.requests[0]["body"]
    finally:
        lookups.close()
        bot.close()


def test_a_call_goes_on_with_the_trace_of_the_request(fresh, collector):
    site = serve(fresh, '<param name="numbers" value="true"/>', lookups=False)
    carrier = site.carrier()
    for header, uuid in ((PARENT, "kept"), (PARENT[:-2] + "00", "dropped")):
        request = urllib.request.Request(f"http://127.0.0.1:{site.block[tree.HTTP]}/call", json.dumps({"to": "4711", "uuid": uuid}).encode(),
                                         {"X-API-Key": KEY, "traceparent": header})
        assert urllib.request.urlopen(request, timeout=15).status == 202
        carrier.accept().reject(486)
        until(lambda: site.switch.api("show channels count").strip().startswith("0"), "end of the call")
    trace = PARENT.split("-")[1]
    spans = until(lambda: collector.of(trace), "spans")
    out = until(lambda: next((span for span in collector.of(trace) if span["name"] == "call out"), None), "span of the leg")
    assert out["parentSpanId"] == PARENT.split("-")[2] and out["facts"]["call.uuid"] == "kept" and out["facts"]["call.to"] == "4711"
    assert out["status"]["code"] == 2 and out["status"]["message"] == "USER_BUSY"
    # Who asks says what is kept.
    assert not any(span["facts"].get("call.uuid") == "dropped" for span in collector.spans), spans


def test_a_collector_that_is_down_harms_nothing(fresh):
    site = serve(fresh, '<param name="queue-size" value="20"/><param name="timeout" value="1"/>', lookups=False)
    for _ in range(15):
        call = site.phone().invite("tone")
        call.wait(200)
        call.hangup()
    until(lambda: site.switch.api("show channels count").strip().startswith("0"), "end of the calls")

    def figure(name):
        page = urllib.request.urlopen(f"http://127.0.0.1:{site.block[tree.HTTP]}/metrics", timeout=15).read().decode()
        return next(float(line.split()[-1]) for line in page.splitlines() if line.startswith(f"ferroswitch_{name} "))

    until(lambda: figure("trace_spans_lost_total") > 0, "spans beyond the queue")
    assert figure("trace_spans_sent_total") == 0
    collector = Collector(site.block[COLLECTOR])
    try:
        # It comes back: what has waited arrives.
        until(lambda: figure("trace_spans_sent_total") > 0, "spans after all", seconds=60)
        assert collector.spans
    finally:
        collector.close()


def test_without_a_configuration_nobody_is_told_of_traces(fresh):
    lookups = Web(fresh.block[LOOKUPS])
    try:
        site = serve(fresh)
        site.switch.api("unload mod_opentelemetry")
        call = site.phone().invite("tone")
        call.wait(200)
        call.hangup()
        assert "traceparent" not in lookups.wait(section="dialplan")["headers"]
    finally:
        lookups.close()
