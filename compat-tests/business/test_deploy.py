"""What deploy/compose.yml adds to the shipped configuration loads, and every module in it starts."""
import shutil
import subprocess

import pytest

from harness import tree
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
    site.start(env={"GATEWAY_SECRET": "x" * 32, "CDR_PASSWORD": "a", "BROKER_PASSWORD": "b"})
    for module in ("mod_http_api", "mod_cdr_pg_csv", "mod_amqp"):
        assert site.switch.api(f"module_exists {module}") == "true"


@pytest.mark.parametrize("manifest", sorted(path.name for path in (ROOT / "deploy/kubernetes").glob("*.yaml")))
def test_manifests_fit_the_cluster_s_schema(manifest):
    import kubernetes_validate
    import yaml

    resources = list(yaml.safe_load_all((ROOT / "deploy/kubernetes" / manifest).read_text()))
    assert len(resources) >= 3
    for resource in resources:
        kubernetes_validate.validate(resource, "1.31", strict=True)
