"""/metrics as Prometheus reads it, the dashboard's and the alerts' queries over a real load, and the probes."""
import email.utils
import json
import re
import subprocess
import urllib.error
import urllib.request

import pytest

from harness import services, tree
from harness.services import until
from harness.switch import ROOT

CONF = """<include>
<configuration name="http_api.conf"><settings>
  <param name="listen-port" value="{http}"/>
</settings></configuration>
</include>"""
PROMETHEUS = 70
# Shown only where there is a broker, Redis, an Event Socket client, or a listener with a certificate.
ELSEWHERE = {"ferroswitch_sip_certificate_expiry_seconds", "ferroswitch_verto_clients", *(f"ferroswitch_amqp_{name}" for name in ("connected", "dropped_total", "messages_total", "spool_bytes")),
             *(f"ferroswitch_event_client_{name}" for name in ("lag_seconds", "lost_events", "queue_bytes", "queue_events")),
             *(f"ferroswitch_hiredis_{name}" for name in ("call_messages_lost_total", "call_messages_total", "commands_total", "connected", "failures_total")),
             *(f"ferroswitch_trace_spans_{name}_total" for name in ("lost", "refused", "sent"))}
DASHBOARD = ROOT / "deploy/grafana/voice-kpi.json"
ALERTS = ROOT / "deploy/prometheus/alerts.yml"


@pytest.fixture
def site(fresh):
    (fresh.conf / "autoload_configs/http_api.conf.xml").write_text(CONF.format(http=fresh.block[tree.HTTP]))
    tree.patch(fresh.conf / "sip_profiles/open.xml", {
        '(<param name="context")': rf"""<param name="tls" value="true"/>
    <param name="tls-sip-port" value="auto"/>
    <param name="tls-cert-dir" value="{fresh.where}/certs"/>
    \1"""})
    modules = fresh.conf / "autoload_configs/modules.conf.xml"
    modules.write_text(modules.read_text().replace("</modules>", '<load module="mod_http_api"/><load module="mod_cdr_csv"/></modules>'))
    return fresh


def get(site, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{site.block[tree.HTTP]}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_probes_say_whether_calls_are_taken(site):
    site.start()
    assert get(site, "/health/live")[0] == 200
    assert get(site, "/health/ready")[0] == 200
    site.switch.api("fsctl pause inbound")
    status, body = get(site, "/health/ready")
    assert status == 503 and json.loads(body)["reasons"] == ["paused"]
    site.switch.api("fsctl resume inbound")
    assert get(site, "/health/ready")[0] == 200


def test_each_name_is_documented_and_counts_calls(site):
    site.start()
    call = site.phone().invite("tone")
    call.wait(200)
    page = get(site, "/metrics")[1]
    assert 'ferroswitch_legs{answered="true",direction="inbound"} 1' in page
    call.hangup()
    site.phone().invite("nowhere").wait(404)
    page = until(lambda: (page := get(site, "/metrics")[1]).count("legs_ended_total{") == 2 and page, "two ended legs")
    assert 'ferroswitch_legs_ended_total{cause="NORMAL_CLEARING",direction="inbound"} 1' in page
    assert 'ferroswitch_legs_answered_total{direction="inbound"} 1' in page
    assert 'ferroswitch_conversation_seconds_count{direction="inbound"} 1' in page
    named = set(re.findall(r"^# TYPE (\S+)", page, re.M))
    documented = set(re.findall(r"^\| `(ferroswitch_\w+)`", (ROOT / "docs/metrics.md").read_text(), re.M))
    assert named <= documented, named - documented
    assert documented - named <= ELSEWHERE, documented - named - ELSEWHERE


def test_the_end_of_a_listeners_certificate_is_told(site):
    site.start()
    page = get(site, "/metrics")[1]
    [ends] = re.findall(r'^ferroswitch_sip_certificate_expiry_seconds\{profile="open",transport="TLS"\} (\S+)$', page, re.M)
    certificate = site.where / "certs/tls.pem"
    said = subprocess.run(["openssl", "x509", "-noout", "-enddate", "-in", certificate], capture_output=True, text=True, check=True).stdout
    # notAfter=Dec  1 05:00:00 2036 GMT
    assert float(ends) == email.utils.parsedate_to_datetime(re.sub(r"notAfter=(\w+) +(\d+) (\S+) (\d+) GMT\s*", r"\2 \1 \4 \3 GMT", said)).timestamp()


@pytest.mark.skipif(services.needs("prometheus", "promtool") is not None, reason="prometheus is not installed")
def test_every_query_of_the_dashboard_and_the_alerts_has_an_answer(site, tmp_path):
    subprocess.run([services.find("promtool"), "check", "rules", str(ALERTS)], check=True, stdout=subprocess.DEVNULL)
    site.start()
    prometheus = services.Prometheus(tmp_path / "prometheus", site.block[PROMETHEUS], f"127.0.0.1:{site.block[tree.HTTP]}", ALERTS).spawn()
    try:
        until(lambda: prometheus.query('up{job="ferroswitch"} == 1'), "scrape")
        phone = site.phone()
        answered = []

        def seen():
            """Calls go on until Prometheus has seen two of their scrapes."""
            call = phone.invite("tone")
            call.wait(200)
            call.hangup()
            answered.append(call)
            ended = prometheus.query("sum(increase(ferroswitch_conversation_seconds_count[1m]))")
            return ended and float(ended[0]["value"][1]) > 0

        until(seen, "load")
        dashboard = json.loads(DASHBOARD.read_text())
        panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
        assert len(panels) > 20
        silent = []
        for panel in panels:
            for target in panel["targets"]:
                query = target["expr"].replace("$instance", ".*").replace("$__rate_interval", "1m")
                if not prometheus.query(query):
                    silent.append((panel["title"], query))
        assert not silent, silent
        known = set(prometheus.ask("label/__name__/values")) | ELSEWHERE
        rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
        assert len(rules) >= 15
        for rule in rules:
            names = set(re.findall(r"ferroswitch_\w+", rule["query"]))
            assert names <= known, f"{rule['name']}: {names - known}"
        until(lambda: all(rule["health"] == "ok" for group in prometheus.ask("rules")["groups"] for rule in group["rules"]), "evaluation of each rule")
    finally:
        prometheus.stop()
