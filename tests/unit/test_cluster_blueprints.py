"""What the blueprints give to servers: the files, in both forms, and no lasting secret."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import unquote

import jsonschema_rs
import pytest
import yaml

from isthmus.core import schemas
from isthmus.drivers.openstack.actions import ALLOWED
from isthmus.drivers.openstack.lint import check
from isthmus.drivers.openstack.predelete import STEPS
from isthmus.errors import InvalidSpec
from isthmus_lab_kubernetes import building
from tests.catalog_files import NAMES, OPENSHIFT, composed, offering, plans
from tests.golden_files import assert_golden
from tests.hot_values import Hot
from tests.kubernetes_lab import why_no_guests, why_no_plane

SECRETS = {"bootstrap_payload": "U2VhbGVk", "join_token": "abcdef.x"}
ATTRIBUTES = {
    **{f"control_port_{n}.fixed_ips": f"10.64.0.1{n}" for n in range(3)},
    "api_port.fixed_ips": "10.64.0.5",
    "api_floating_ip.floating_ip_address": "203.0.113.7",
    "api_balancer.vip_address": "10.64.0.9",
    "token_id.value": "abcdef",
    "token_secret.value": "0123456789abcdef",
    "joined_handle.curl_cli": "curl -i -X POST http://heat.example/signal",
}
BALANCED = ("load-balancer",)
"""What a cloud with Octavia has."""
BLUEPRINTS = ("kubernetes-nova", "kubernetes-nova-pool")
OPENSTACK = [p for p in plans() if "openstack" in offering(p[0]).spec.stacks]
CLOUD_CONFIG = "usr/lib/python3/dist-packages/cloudinit/config/schemas/schema-cloud-config-v1.json"


def user_data(name: str, parameters: dict | None = None, *, services: tuple[str, ...] = ()) -> str:
    asked = {"image": "debian", **(parameters or {})}
    if name.endswith("-pool"):
        asked |= {"labels": {"tier": "web"}, "taints": ["a=b:NoSchedule"], "cluster": "shop"}
    template = composed(name, "custom", asked, services=services).spec.template
    hot = Hot(template, SECRETS, ATTRIBUTES)
    text = hot.value({"get_attr": ["user_data", "value"]})
    assert isinstance(text, str)
    return text


def cloud_config(name: str, **parameters) -> dict:
    text = user_data(name, parameters)
    assert text.startswith("#cloud-config\n")
    return yaml.safe_load(text)


def files(name: str, **parameters) -> dict[str, str]:
    if parameters.get("hostSystem") != "ignition":
        written = cloud_config(name, **parameters)["write_files"]
        return {file["path"]: file["content"] for file in written}
    config = json.loads(user_data(name, parameters))
    return {
        file["path"]: unquote(file["contents"]["source"].removeprefix("data:,"))
        for file in config["storage"]["files"]
    }


@pytest.mark.parametrize(("name", "plan"), OPENSTACK)
def test_heat_would_know_what_the_template_says(name, plan):
    assert check(composed(name, plan).spec.template) == ()


@pytest.mark.parametrize("name", [n for n in NAMES if "openstack" in offering(n).spec.stacks])
def test_what_an_offering_declares_is_known_to_the_driver(name):
    stack = offering(name).spec.stacks["openstack"]
    assert all(step["step"] in STEPS for step in stack.pre_delete)
    handover = stack.handover
    by_handover = [handover.give, handover.withdraw] if handover is not None else []
    for action in [*stack.actions.values(), *by_handover]:
        calls = [*action["calls"], *action.get("requires", []), action.get("wait")]
        for call in filter(None, calls):
            assert call["operation"] in ALLOWED[call["service"]]


@pytest.mark.parametrize("name", ["kubernetes-nova", "machine", "openshift-nova"])
def test_a_server_with_data_is_replaced_by_consent_only(name):
    stack = composed(name, offering(name).spec.plans[-1].name, {}).spec
    resources = stack.template["resources"].items()
    servers = {n for n, resource in resources if resource["type"] == "OS::Nova::Server"}
    assert set(stack.stateful) == servers - {"bootstrap"}


@pytest.mark.parametrize(
    ("told", "flavors"), [([], ["m", "m", "m"]), (["l", "m", "m"], ["l", "m", "m"])]
)
def test_each_control_plane_has_the_flavor_that_it_is_told(told, flavors):
    asked = {"controlPlaneReplicas": 3, "flavor": "m", "controlFlavors": told}
    template = composed("kubernetes-nova", "custom", asked).spec.template
    hot = Hot(template, SECRETS, ATTRIBUTES)
    servers = [template["resources"][f"control_{n}"]["properties"] for n in range(3)]
    assert [hot.value(server["flavor"]) for server in servers] == flavors


def test_a_stack_that_waits_in_vain_may_stop_waiting():
    before, after = (
        composed("kubernetes-nova", "production", {"waitForNodes": waits}).spec
        for waits in (True, False)
    )
    assert "waitForNodes" not in schemas.immutable_names(
        offering("kubernetes-nova").spec.parameters
    )
    resources = after.template["resources"]
    assert resources["joined"]["condition"] == resources["joined_handle"]["condition"] == "waiting"
    hots = [Hot(spec.template, SECRETS, ATTRIBUTES) for spec in (before, after)]
    assert [hot.holds("waiting") for hot in hots] == [True, False]


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_both_kinds_of_host_get_the_same_files(name):
    assert files(name) == files(name, hostSystem="ignition")


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_golden_values(name):
    found = files(name, controlPlaneReplicas=3) if name == BLUEPRINTS[0] else files(name)
    assert_golden(found["/etc/isthmus/node.env"] + "\n", f"user-data/{name}.env")


def test_all_nodes_run_one_script():
    first, second = (files(name)["/etc/isthmus/node.sh"] for name in BLUEPRINTS)
    assert first == second


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_the_script_is_a_script(tmp_path):
    script = tmp_path / "node.sh"
    script.write_text(files(BLUEPRINTS[0])["/etc/isthmus/node.sh"])
    subprocess.run(["bash", "-n", script], check=True)


OLD, NEW = "v1.35.4 True", "v1.36.3 True"


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
@pytest.mark.parametrize(
    ("peers", "turn", "reason"),
    [
        ((OLD, OLD, OLD), [0], "the first one begins"),
        ((NEW, OLD, OLD), [0, 1], "the second follows the first"),
        ((NEW, NEW, OLD), [0, 1, 2], "the last one ends it"),
        (("v1.36.3 False", OLD, OLD), [0], "one that is not ready holds those after it"),
        ((OLD, NEW, OLD), [0], "one out of turn changes nothing"),
    ],
)
def test_control_planes_take_turns(peers, turn, reason):
    script = files(BLUEPRINTS[0])["/etc/isthmus/node.sh"]
    begin = script.index("our_turn() {")
    function = script[begin : script.index("\n}\n", begin) + 3]
    listed = "\n".join(f"control-{number} {peer}" for number, peer in enumerate(peers))
    found = []
    for number in range(3):
        ours = {"NODE": f"control-{number}", "KUBERNETES_VERSION": "1.36.3"}
        done = subprocess.run(
            ["bash", "-c", f'{function} our_turn "$0"', listed],
            env=os.environ | ours,
            check=False,
        )
        found += [number] if done.returncode == 0 else []
    assert found == turn, reason


def test_the_network_manifest_is_manifests():
    text = files(BLUEPRINTS[0])["/etc/isthmus/network.yaml"].replace("@MTU@", "1450")
    kinds = [document["kind"] for document in yaml.safe_load_all(text)]
    assert "DaemonSet" in kinds
    (config,) = (d for d in yaml.safe_load_all(text) if d["kind"] == "ConfigMap")
    assert json.loads(config["data"]["net-conf.json"])["Backend"] == {"Type": "vxlan", "MTU": 1450}


@pytest.mark.parametrize("host", ["cloud-init", "ignition"])
@pytest.mark.parametrize("name", BLUEPRINTS)
def test_user_data_fits_into_nova(name, host):
    assert len(user_data(name, {"hostSystem": host})) * 4 / 3 < 65_535


@pytest.mark.parametrize("host", ["cloud-init", "ignition"])
def test_the_authorities_are_in_user_data_sealed(host):
    text = user_data("kubernetes-nova", {"hostSystem": host})
    assert SECRETS["bootstrap_payload"] in text


def test_the_stack_is_never_given_the_key():
    stack = offering("kubernetes-nova").spec.stacks["openstack"]
    template = composed("kubernetes-nova", "production").spec.template
    assert stack.handover is not None
    assert "handover" not in json.dumps(template)
    assert set(template["parameters"]) == {"bootstrap_payload"}
    for number in range(3):
        properties = template["resources"][f"control_{number}"]["properties"]
        assert "isthmus-key" not in properties["metadata"]
        assert f"control_{number}" in stack.handover.to


@pytest.mark.parametrize("name", [n for n in NAMES if "openstack" in offering(n).spec.stacks])
def test_secrets_are_hidden_and_no_output_repeats_them(name):
    spec = offering(name).spec
    stack = spec.stacks["openstack"]
    secret = schemas.secret_names(spec.parameters)
    carried = {n for n, text in stack.parameters.items() if text[2:-1] in secret}
    declared = stack.template.get("parameters", {})
    assert len(carried) == len(secret)
    assert all(declared[parameter]["hidden"] for parameter in carried)
    outputs = json.dumps(stack.template.get("outputs", {}))
    assert not any(parameter in outputs for parameter in carried)


def test_other_user_data_replace_no_control_plane():
    template = composed("kubernetes-nova", "production").spec.template
    for number in range(3):
        properties = template["resources"][f"control_{number}"]["properties"]
        assert properties["user_data_update_policy"] == "IGNORE"


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_cloud_config_has_known_keys_only(name):
    config = cloud_config(name)
    assert set(config) == {"write_files", "runcmd"}
    assert {key for file in config["write_files"] for key in file} == {
        "path", "permissions", "content",
    }  # fmt: skip


@pytest.mark.labs
@pytest.mark.guests
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", BLUEPRINTS)
def test_cloud_init_accepts_it(name):
    if reason := why_no_guests():
        pytest.skip(reason)
    schema = json.loads((building.debian() / CLOUD_CONFIG).read_text())
    jsonschema_rs.validator_for(schema).validate(cloud_config(name))


@pytest.mark.labs
@pytest.mark.guests
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", BLUEPRINTS)
def test_ignition_accepts_it(name, tmp_path):
    if reason := why_no_plane():
        pytest.skip(reason)
    config = tmp_path / "config.ign"
    config.write_text(user_data(name, {"hostSystem": "ignition"}))
    assert ignition_says(config) == (0, "")


def ignition_says(config: Path) -> tuple[int, str]:
    validate = building.ignition_validate()
    done = subprocess.run([validate, config], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def openshift_pointer(name: str, **parameters) -> str:
    """What Heat would give to a server of OpenShift: where its own configuration is."""
    template = composed("openshift-nova", "standard", {"image": "rhcos"} | parameters).spec.template
    properties = template["resources"][name]["properties"]
    given = properties.get("resource_def", {"properties": properties})["properties"]["user_data"]
    url = {"bootstrap_ignition": "https://swift.example/bootstrap.ign?temp_url_sig=0a1b"}
    text = Hot(template, url, {}).value(given)
    assert isinstance(text, str)
    return text


@pytest.mark.labs
@pytest.mark.guests
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["bootstrap", "control_0", "control_2", "workers"])
def test_ignition_accepts_the_pointers_of_openshift(name, tmp_path):
    if reason := why_no_plane():
        pytest.skip(reason)
    config = tmp_path / "config.ign"
    config.write_text(openshift_pointer(name))
    assert ignition_says(config) == (0, "")


def test_a_server_of_openshift_trusts_only_what_was_given():
    bootstrap = json.loads(openshift_pointer("bootstrap"))["ignition"]["config"]["replace"]
    assert bootstrap["source"].startswith("https://swift.example/")
    assert bootstrap["verification"] == {"hash": f"sha512-{OPENSHIFT['bootstrapSha512']}"}
    for name, role in (("control_1", "master"), ("workers", "worker")):
        pointer = json.loads(openshift_pointer(name, apiAddress="10.66.0.9"))["ignition"]
        assert pointer["config"]["merge"] == [{"source": f"https://10.66.0.9:22623/config/{role}"}]
        (trusted,) = pointer["security"]["tls"]["certificateAuthorities"]
        assert trusted["source"].endswith(f";base64,{OPENSHIFT['authority']}")


@pytest.mark.parametrize("balancer", ["keepalived", "octavia"])
@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("plugin", ["flannel", "ovn-kubernetes", "neutron"])
def test_ports_let_through_what_is_not_their_own_address(plugin, replicas, balancer):
    """The moving address of the API, and pods where nothing wraps their packets."""
    asked = {"networkPlugin": plugin, "controlPlaneReplicas": replicas, "apiBalancer": balancer}
    template = composed("kubernetes-nova", "custom", asked, services=BALANCED).spec.template
    hot = Hot(template, SECRETS, ATTRIBUTES)
    moving = [{"ip_address": "10.64.0.5"}] if (replicas, balancer) == (3, "keepalived") else []
    pods = [{"ip_address": "10.244.0.0/16"}] if plugin == "neutron" else []
    for number in range(replicas):
        properties = template["resources"][f"control_port_{number}"]["properties"]
        assert hot.value(properties["allowed_address_pairs"]) == moving + pods


@pytest.mark.parametrize(
    ("plugin", "wanted"),
    [
        ("flannel", {"flannel_rule"}),
        ("ovn-kubernetes", {"geneve_rule", "ovn_database_rule"}),
        ("neutron", {"pod_rule", "pod_from_nodes_rule"}),
    ],
)
def test_security_groups_know_the_network_plugin(plugin, wanted):
    template = composed("kubernetes-nova", "custom", {"networkPlugin": plugin}).spec.template
    hot = Hot(template, SECRETS, ATTRIBUTES)
    rules = {
        name
        for name, resource in template["resources"].items()
        if resource["type"] == "OS::Neutron::SecurityGroupRule"
        and hot.holds(resource.get("condition", {"equals": [1, 1]}))
    }
    assert rules - {"control_from_nodes"} == wanted


@pytest.mark.parametrize("name", BLUEPRINTS)
def test_a_mirror_without_its_pin_is_refused(name):
    asked = {"image": "debian", "mirror": "http://mirror.example"}
    with pytest.raises(InvalidSpec, match=r"parameters\.mirrorSha256"):
        composed(name, "custom", asked)
    assert composed(name, "custom", asked | {"mirrorSha256": "0" * 64})


@pytest.mark.parametrize(
    ("replicas", "balancer", "services", "address"),
    [
        (1, "keepalived", BALANCED, "10.64.0.10"),
        (1, "octavia", BALANCED, "10.64.0.10"),
        (1, "auto", BALANCED, "10.64.0.10"),
        (3, "keepalived", BALANCED, "10.64.0.5"),
        (3, "octavia", BALANCED, "10.64.0.9"),
        (3, "auto", (), "10.64.0.5"),
        (3, "auto", BALANCED, "10.64.0.9"),
    ],
)
def test_the_api_has_one_address_however_many_bear_it(replicas, balancer, services, address):
    moves, behind = {
        "10.64.0.10": ("", "id-of-control_port_0"),
        "10.64.0.5": ("10.64.0.5", "id-of-api_port"),
        "10.64.0.9": ("", "port-of-balancer"),
    }[address]
    asked = {"controlPlaneReplicas": replicas, "apiBalancer": balancer}
    template = composed("kubernetes-nova", "custom", asked, services=services).spec.template
    hot = Hot(template, SECRETS, ATTRIBUTES | {"api_balancer.vip_port_id": "port-of-balancer"})
    text = user_data("kubernetes-nova", asked, services=services)
    written = {f["path"]: f["content"] for f in yaml.safe_load(text)["write_files"]}
    env = written["/etc/isthmus/node.env"].splitlines()
    assert f"ENDPOINT='{address}:6443'" in env
    assert f"VIRTUAL_ADDRESS='{moves}'" in env
    assert f"API_NAMES='localhost,127.0.0.1,{address},203.0.113.7'" in env
    floating = template["resources"]["api_floating_ip"]["properties"]
    assert hot.value(floating["port_id"]) == behind
    outputs = template["outputs"]
    assert hot.value(outputs["InternalEndpoint"]["value"]) == f"{address}:6443"
    assert hot.value(outputs["Endpoint"]["value"]) == "https://203.0.113.7:6443"
    balanced = [
        name
        for name, resource in template["resources"].items()
        if resource["type"].startswith("OS::Octavia::") and hot.holds(resource["condition"])
    ]
    assert len(balanced) == (7 if address == "10.64.0.9" else 0)


def test_octavia_where_there_is_none_is_refused_with_the_remedy():
    asked = {"controlPlaneReplicas": 3, "apiBalancer": "octavia"}
    with pytest.raises(InvalidSpec) as caught:
        composed("kubernetes-nova", "custom", asked, services=("compute",))
    assert caught.value.message == (
        "spec.parameters.apiBalancer: octavia is not possible, since the cloud of Provider "
        "'openstack' has no service 'load-balancer'; write keepalived, or leave it to auto."
    )


@pytest.mark.parametrize("policy", ["anti-affinity", "soft-anti-affinity"])
def test_three_control_planes_are_on_different_hosts(policy):
    asked = {"controlPlaneReplicas": 3, "antiAffinity": policy}
    template = composed("kubernetes-nova", "custom", asked).spec.template
    hot = Hot(template, SECRETS, ATTRIBUTES)
    for number in range(3):
        properties = template["resources"][f"control_{number}"]["properties"]
        assert hot.value(properties["scheduler_hints"]) == {"group": "id-of-hosts"}
    assert template["resources"]["hosts"]["properties"]["policies"] == [policy]
