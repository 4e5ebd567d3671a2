"""What deploy/compose.yml adds to the shipped configuration loads, and every module in it starts."""
import re
import shutil
import subprocess

import pytest

from harness import helm, tree
from harness.services import until
from harness.switch import ROOT, binary


def conf(block, where):
    made = tree.shipped(block, where)
    text = (ROOT / "deploy/compose/business.conf.xml").read_text()
    text = text.replace('<param name="jwt-secret"', f'<param name="listen-port" value="{block[tree.HTTP]}"/><param name="jwt-secret"')
    text = text.replace("host=127.0.0.1 user", f"host=127.0.0.1 port={block[70]} user").replace('name="hostname" value="127.0.0.1"/>', f'name="hostname" value="127.0.0.1"/><param name="port" value="{block[71]}"/>')
    (made / "autoload_configs/business.conf.xml").write_text(text)
    return made


@pytest.fixture
def site(tmp_path):
    from conftest import Site
    site = Site(tmp_path, conf)
    yield site
    site.close()


def test_the_additions_have_no_mistake(site, tmp_path):
    folder = tmp_path / "checked"
    shutil.copytree(site.conf, folder)
    run = subprocess.run([binary(), "check", str(folder)], capture_output=True, text=True, env={"PATH": "/usr/bin", "GATEWAY_SECRET": "x" * 32})
    assert run.returncode == 0, run.stdout + run.stderr


def test_it_starts_while_database_and_broker_are_away(site):
    site.start(env={"GATEWAY_SECRET": "x" * 32, "CDR_PASSWORD": "a", "BROKER_PASSWORD": "b", "REDIS_PASSWORD": "c"})
    for module in ("mod_http_api", "mod_cdr_pg_csv", "mod_amqp", "mod_hiredis"):
        assert site.switch.api(f"module_exists {module}") == "true"
    # None of them is needed for calls: two phones register, and one calls the other.
    password = site.switch.api("global_getvar default_password").strip()
    ann, ben = (site.phone(tree.INTERNAL, user=user, password=password) for user in ("1000", "1001"))
    assert ann.register().status == ben.register().status == 200
    call = ann.invite("1001")
    there = ben.accept()
    there.answer()
    call.wait(200)
    call.rtp.tone(440), there.rtp.tone(700)
    call.rtp.wait_tone(700), there.rtp.wait_tone(440)
    call.hangup()
    there.wait_end()
    # Its record waits in the journal for the database, and the log says which dependency is away.
    until(lambda: any((site.where / "db/call_records").glob("*")) and "mod_cdr_pg_csv" in site.switch.said(400), "record that waits")
    assert site.switch.alive()


@pytest.mark.parametrize("manifest", sorted(path.name for path in (ROOT / "deploy/kubernetes").glob("*.yaml")))
def test_manifests_fit_the_cluster_s_schema(manifest):
    import kubernetes_validate
    import yaml

    resources = list(yaml.safe_load_all((ROOT / "deploy/kubernetes" / manifest).read_text()))
    assert len(resources) >= 3
    for resource in resources:
        kubernetes_validate.validate(resource, "1.31", strict=True)


CHART = ROOT / "deploy/helm/ferroswitch"
PASSWORDS = {"eventSocketPassword": "one of our own", "phonePassword": "another"}


@pytest.mark.parametrize("values", [
    PASSWORDS,
    {"existingSecret": "mine", "http": {"enabled": True}, "networkPolicy": {"enabled": True}, "hostNetwork": False},
    {**PASSWORDS, "persistence": {"enabled": False}, "podDisruptionBudget": {"enabled": False},
     "configuration": {"configMaps": [{"name": "freeswitch-conf", "path": ""}, {"name": "freeswitch-dialplan", "path": "dialplan"}]}},
])
def test_the_chart_renders_to_manifests_that_fit(values):
    import kubernetes_validate

    documents = helm.render(CHART, values)
    for document in documents:
        kubernetes_validate.validate(document, "1.31", strict=True)
    kinds = sorted(document["kind"] for document in documents)
    assert {"Service", "StatefulSet"} <= set(kinds) and ("Secret" in kinds) == ("existingSecret" not in values)
    pod = next(document for document in documents if document["kind"] == "StatefulSet")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    secret = next(entry for entry in container["env"] if entry["name"] == "FERROSWITCH_EVENT_SOCKET_PASSWORD")
    assert secret["valueFrom"]["secretKeyRef"]["name"] == values.get("existingSecret", "switch")
    assert pod["terminationGracePeriodSeconds"] == 75
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]}
    if "configuration" in values:
        assert {"/etc/freeswitch", "/etc/freeswitch/dialplan"} <= mounted and "-conf" in container["args"]
    else:
        assert "-conf" not in container["args"]


def test_the_chart_has_no_password_of_its_own():
    with pytest.raises(helm.Required, match="must be set"):
        helm.render(CHART)


@pytest.mark.parametrize("file", ["compose.yml", "stack-voice.yml"])
def test_compositions_name_nothing_that_is_not_there(file):
    import yaml

    made = yaml.safe_load((ROOT / "deploy" / file).read_text())
    example = (ROOT / "deploy/compose/env.example").read_text()
    told = {line.partition("=")[0] for line in example.splitlines() if "=" in line and not line.startswith("#")}
    text = (ROOT / "deploy" / file).read_text().replace("$$", "")
    assert set(re.findall(r"\$\{([A-Z_]+)", text)) <= told
    for name, service in made["services"].items():
        assert service.get("image") or service.get("build"), name
        assert set(service.get("depends_on", [])) <= set(made["services"]), name
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            # Certificates are the administrator's.
            assert source in made["volumes"] or (ROOT / "deploy" / source).exists() or source.endswith("/tls"), volume
    if file == "compose.yml":
        assert all(made["services"][name]["profiles"] for name in ("kamailio", "coturn"))


@pytest.mark.skipif(not shutil.which("kamailio"), reason="Kamailio is not installed")
def test_the_edge_proxy_takes_its_configuration():
    run = subprocess.run(["kamailio", "-c", "-f", str(ROOT / "deploy/compose/kamailio.cfg")], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
