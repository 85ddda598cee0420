"""The verbs of the command line against a running installation with a fake cloud."""

import ssl

import httpx2
import pytest
import yaml

from isthmus.faces.cli import kubeconfig
from tests.installation import (
    Installation,
    a_binding,
    a_namespace,
    a_provider,
    an_instance,
    an_offering,
    isthmus,
    up,
    wait_for,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with up(tmp_path_factory.mktemp("up")) as installation:
        installation.apply(a_namespace("shop"), a_provider(), an_offering())
        yield installation


@pytest.fixture(scope="module")
def database(home: Installation) -> str:
    home.apply(an_instance("db", "shop"))
    return "serviceinstance/db"


def test_get_shows_the_server_columns(home: Installation, database: str):
    shown = home.run("get", "si", "-n", "shop").stdout.splitlines()
    assert shown[0].split()[:5] == ["NAME", "OFFERING", "PLAN", "READY", "REASON"]
    assert shown[1].split()[:5] == ["db", "database", "dev", "True", "Ready"]
    everywhere = home.run("get", "serviceinstances", "-A").stdout
    assert everywhere.splitlines()[0].startswith("NAMESPACE")
    assert home.run("get", database, "-n", "shop", "-o", "name").stdout == f"{database}\n"


def test_get_knows_kinds_that_only_the_server_knows(home: Installation):
    assert "isthmus-tenant" in home.run("get", "clusterroles").stdout


def test_describe_shows_stack_events_and_bindings(home: Installation, database: str):
    home.apply(a_binding("web", "shop", "db"))
    text = home.run("describe", database, "-n", "shop").stdout
    for part in ("Conditions:", "Native stack:", "Fake::Database", "CREATE_COMPLETE", "web"):
        assert part in text
    secret = home.json("get", "secret/web", "-n", "shop")
    assert secret["data"]["password"] not in text, "a credential is never shown"
    home.run("delete", "servicebinding/web", "-n", "shop", "--timeout", "60")


def test_plan_of_a_new_object(home: Installation, tmp_path):
    file = tmp_path / "new.yaml"
    file.write_text(yaml.safe_dump(an_instance("new", "shop", parameters={"size": 3})))
    plan = home.json("plan", "-f", str(file))
    assert (plan["intent"], plan["allowed"]) == ("create", True)
    assert {c["logicalId"] for c in plan["changes"]} == {"Network", "Database"}
    assert home.run("get", "si/new", "-n", "shop", code=4)
    orphans = home.run("orphans")
    assert "no orphans" in orphans.stderr, "a plan leaves nothing behind"


def test_plan_of_a_change_that_loses_data_names_the_approval(home: Installation, database: str):
    text = yaml.safe_dump(an_instance("db", "shop", parameters={"encoding": "latin1"}))
    done = home.run("plan", "-f", "-", stdin=text, code=9)
    assert "encoding: utf8 -> latin1" in done.stdout
    assert "replace" in done.stdout
    command = "kubectl annotate serviceinstance/db --namespace shop --overwrite isthmus.dev/approve"
    assert command in done.stdout


def test_plan_of_an_immutable_parameter(home: Installation, database: str):
    text = yaml.safe_dump(an_instance("db", "shop", parameters={"engine": "17"}))
    done = home.run("plan", "-f", "-", stdin=text, code=9)
    assert "cannot be changed after creation: engine" in done.stdout


def test_plan_of_a_deletion(home: Installation, database: str):
    home.apply(a_binding("blocker", "shop", "db"))
    done = home.run("plan", database, "--delete", "-n", "shop", code=9)
    assert "ServiceBindings use it: blocker" in done.stdout
    home.run("delete", "servicebinding/blocker", "-n", "shop", "--timeout", "60")
    plan = home.json("plan", database, "--delete", "-n", "shop")
    assert {(c["verb"], c["logicalId"]) for c in plan["changes"]} == {
        ("delete", "Network"),
        ("delete", "Database"),
    }


def test_why_names_what_is_wrong(home: Installation, database: str):
    assert "nothing wrong" in home.run("why", database, "-n", "shop").stdout
    home.apply(an_instance("bad", "shop", parameters={"size": "lots"}), wait=False)
    done = home.run("apply", "-f", "-", "--wait", "--timeout", "30", code=9, stdin=BAD)
    assert "spec.parameters.size" in done.stderr
    assert "isthmus why serviceinstance/bad" in done.stderr
    chain = home.json("why", "si/bad", "-n", "shop")["chain"]
    assert chain[0]["state"] == "InvalidSpec"
    home.run("delete", "si/bad", "-n", "shop", "--timeout", "60")


def test_why_names_who_keeps_what_is_to_go(home: Installation):
    home.apply(an_instance("kept", "shop"))
    home.apply(a_binding("user", "shop", "kept"))
    for what in ("stack/kept", "si/kept"):
        words = ("delete", what, "-n", "shop", "--timeout", "1")
        reason = "ServiceBindings use it: user"
        wait_for(lambda w=words, r=reason: r in home.run(*w, code=8).stderr, home)
    chain = home.json("why", "stack/kept", "-n", "shop")["chain"]
    assert [(link["subject"], link["state"]) for link in chain] == [
        ("Stack shop/kept", "InUse"),
        ("ServiceInstance shop/kept", "InUse"),
    ]
    assert "ServiceBindings use it: user. Delete them first." in chain[0]["message"]
    home.run("delete", "servicebinding/user", "-n", "shop", "--timeout", "60")
    home.run("delete", "si/kept", "-n", "shop", "--timeout", "60", "--ignore-not-found")


BAD = """
apiVersion: isthmus.dev/v1alpha1
kind: ServiceInstance
metadata: {name: bad, namespace: shop}
spec: {offering: database, plan: dev, provider: cloud, parameters: {size: lots}}
"""


def test_a_refused_field_is_named_by_file_and_line(home: Installation, tmp_path):
    file = tmp_path / "typo.yaml"
    file.write_text(
        "apiVersion: isthmus.dev/v1alpha1\nkind: ServiceInstance\n"
        "metadata:\n  name: typo\nspec:\n  offering: database\n  plam: dev\n"
    )
    done = home.run("apply", "-f", str(file), code=3)
    assert f"{file}:" in done.stderr
    assert "plam" in done.stderr


def test_mistakes_have_their_own_exit_codes(home: Installation):
    assert "no kind 'wombats'" in home.run("get", "wombats", code=4).stderr
    assert "not found" in home.run("delete", "si/nobody", code=4).stderr
    assert "KIND/NAME" in home.run("describe", "si", code=2).stderr
    assert "no context 'moon'" in home.run("get", "si", "--context", "moon", code=2).stderr


def test_catalog_shows_what_an_offering_takes_and_gives(home: Installation):
    assert "database" in home.run("catalog", "list").stdout
    shown = home.run("catalog", "show", "database").stdout
    for word in ("encoding", "Plans:", "dev", "big", "postgresql", "sql-user", "stop"):
        assert word in shown


def test_adopt_lists_what_is_not_ours(home: Installation, database: str):
    done = home.run("adopt", "--provider", "cloud")
    assert "no stack of others" in done.stderr, "ours is not up for adoption"


def test_delete_waits_until_nothing_is_left(home: Installation):
    home.apply(an_instance("gone", "shop"))
    done = home.run("delete", "si/gone", "-n", "shop", "--timeout", "60")
    assert "serviceinstance/gone is gone" in done.stderr
    home.run("get", "si/gone", "-n", "shop", code=4)
    assert home.json("orphans") == {"orphans": [], "skipped": []}


def test_metrics_and_logs(home: Installation, database: str):
    target = kubeconfig.load(str(home.kubeconfig))
    answer = httpx2.get(
        f"{target.server}/metrics",
        headers={"Authorization": f"Bearer {target.token}"},
        verify=ssl.create_default_context(cadata=target.ca_pem),
    )
    assert "isthmus_reconcile_seconds" in answer.text
    assert "apiserver_request_duration_seconds_bucket" in answer.text
    opened = next(line for line in home.log.read_text().splitlines() if "provider opened" in line)
    assert "reconcile=" in opened, "one id for all lines of a reconcile"


def test_a_server_that_is_gone_says_how_to_start_it(home: Installation, tmp_path):
    config = yaml.safe_load(home.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:1"
    gone = tmp_path / "kubeconfig"
    gone.write_text(yaml.safe_dump(config))
    assert "start it with `isthmus up`" in home.run("get", "si", code=7, kubeconfig=gone).stderr


def test_a_server_of_another_authority_is_not_trusted(home: Installation, tmp_path):
    config = yaml.safe_load(home.kubeconfig.read_text())
    del config["clusters"][0]["cluster"]["certificate-authority-data"]
    other = tmp_path / "kubeconfig"
    other.write_text(yaml.safe_dump(config))
    done = home.run("get", "si", code=7, kubeconfig=other)
    assert "a certificate that the kubeconfig does not trust" in done.stderr


def test_no_server_says_how_to_start_one(tmp_path):
    done = isthmus("get", "si", code=2, HOME=str(tmp_path), XDG_DATA_HOME=str(tmp_path))
    assert "isthmus up" in done.stderr
