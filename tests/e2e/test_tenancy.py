"""A tenant with rights in one namespace sees and changes nothing elsewhere."""

import pytest
import yaml

from tests.installation import (
    Installation,
    a_binding,
    a_namespace,
    a_provider,
    an_instance,
    an_offering,
    up,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with up(tmp_path_factory.mktemp("tenancy")) as installation:
        closed = {"namespaceSelector": {"matchLabels": {"tier": "gold"}}}
        installation.apply(
            a_namespace("red"),
            a_namespace("blue", tier="gold"),
            a_provider(),
            a_provider("vip", **closed),
            an_offering(),
            an_offering("gold", **closed),
            tenancy("red", "anna"),
            tenancy("blue", "bert"),
        )
        installation.apply(
            an_instance("db", "blue"), a_binding("web", "blue", "db"), an_instance("db", "red")
        )
        yield installation


def tenancy(namespace: str, user: str) -> dict:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "tenants", "namespace": namespace},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "isthmus-tenant",
        },
        "subjects": [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
        ],
    }  # fmt: skip


@pytest.fixture(scope="module")
def anna(home: Installation):
    """A tenant of the namespace red."""
    return home.user("anna")


FORBIDDEN = 5


@pytest.mark.parametrize(
    "words",
    [
        ("get", "serviceinstances", "-n", "blue"),
        ("get", "serviceinstances", "-A"),
        ("get", "si/db", "-n", "blue"),
        ("get", "secrets", "-n", "blue"),
        ("get", "secret/web", "-n", "blue"),
        ("get", "events", "-n", "blue"),
        ("get", "stacks", "-n", "blue"),
        ("get", "namespaces"),
        ("get", "providers"),
        ("get", "secrets", "-n", "isthmus-system"),
        ("describe", "si/db", "-n", "blue"),
        ("why", "si/db", "-n", "blue"),
        ("why", "servicebinding/web", "-n", "blue"),
        ("delete", "si/db", "-n", "blue"),
        ("plan", "si/db", "--delete", "-n", "blue"),
        ("plan", "si/absent", "--delete", "-n", "blue"),
        ("orphans",),
        ("adopt", "--provider", "cloud"),
    ],
    ids=" ".join,
)
def test_nothing_elsewhere(home: Installation, anna, words):
    done = home.run(*words, code=FORBIDDEN, kubeconfig=anna)
    assert not done.stdout


@pytest.mark.parametrize("verb", ["apply", "plan"])
@pytest.mark.parametrize(
    "wanted",
    [
        an_instance("db", "blue", parameters={"size": 5}),
        an_instance("mine", "blue"),
        a_binding("steal", "blue", "db"),
        a_provider("evil"),
        an_offering("evil"),
        a_namespace("purple"),
        tenancy("red", "carl"),
    ],
    ids=lambda obj: f"{obj['kind']}-{obj['metadata']['name']}",
)
def test_no_writes_elsewhere(home: Installation, anna, verb, wanted):
    done = home.run(verb, "-f", "-", stdin=yaml.safe_dump(wanted), code=FORBIDDEN, kubeconfig=anna)
    assert "size" not in done.stdout


def test_a_tenant_commands_no_account_by_a_stack(home: Installation, anna):
    stack = {
        "apiVersion": "isthmus.dev/v1alpha1",
        "kind": "Stack",
        "metadata": {"name": "own", "namespace": "red"},
        "spec": {"provider": "cloud", "template": {"resources": {}}},
    }
    home.run("apply", "-f", "-", stdin=yaml.safe_dump(stack), code=FORBIDDEN, kubeconfig=anna)


def test_own_namespace_works(home: Installation, anna):
    assert "db" in home.run("get", "si", "-n", "red", kubeconfig=anna).stdout
    assert "nothing wrong" in home.run("why", "si/db", "-n", "red", kubeconfig=anna).stdout
    assert "Fake::Database" in home.run("describe", "si/db", "-n", "red", kubeconfig=anna).stdout
    text = yaml.safe_dump(an_instance("db", "red", parameters={"size": 7}))
    plan = home.run("plan", "-f", "-", "-n", "red", stdin=text, kubeconfig=anna)
    assert "size: 1 -> 7" in plan.stdout
    assert "aurora-postgresql" in home.run("catalog", "list", kubeconfig=anna).stdout


def test_what_a_namespace_may_not_use_is_said_in_the_plan(home: Installation, anna):
    closed = an_instance("vip", "red", provider="vip")
    done = home.run("plan", "-f", "-", stdin=yaml.safe_dump(closed), code=9, kubeconfig=anna)
    assert "NO   policy: spec.provider: namespace 'red' may not use" in done.stdout
    closed = an_instance("vip", "red", offering="gold")
    done = home.run("plan", "-f", "-", stdin=yaml.safe_dump(closed), code=9, kubeconfig=anna)
    assert "NO   policy: spec.offering: namespace 'red' may not use 'gold'" in done.stdout


def test_nobody_without_a_token(home: Installation, tmp_path):
    stranger = tmp_path / "kubeconfig"
    config = yaml.safe_load(home.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": "guessed"}
    stranger.write_text(yaml.safe_dump(config))
    done = home.run("get", "offerings", code=FORBIDDEN, kubeconfig=stranger)
    assert "does not know the token" in done.stderr
    done = home.run("orphans", code=FORBIDDEN, kubeconfig=stranger)


def test_no_secret_is_in_any_log(home: Installation):
    secret = home.json("get", "secret/web", "-n", "blue")["data"]
    import base64

    password = base64.b64decode(secret["password"]).decode()
    assert password not in home.log.read_text()
    for kind in ("si", "servicebindings", "stacks", "events"):
        assert password not in home.run("get", kind, "-n", "blue", "-o", "yaml").stdout
