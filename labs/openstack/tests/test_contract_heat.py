"""Contract of the running lab: stacks of every kind of thing, growing, shrinking, interrupted."""

import re
from typing import Any

import pytest

from tests.openstack_lab import OpenStackLab, until

pytestmark = [
    pytest.mark.labs,
    pytest.mark.openstack,
    pytest.mark.slow,
    # The SDK warns of its own inside.
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]

EVERYTHING = """
heat_template_version: 2021-04-16
parameters:
  count: {type: number, default: 2}
  prefix: {type: string}
resources:
  net: {type: OS::Neutron::Net}
  subnet:
    type: OS::Neutron::Subnet
    properties: {network: {get_resource: net}, cidr: 10.9.0.0/24}
  router:
    type: OS::Neutron::Router
    properties: {external_gateway_info: {network: public}}
  interface:
    type: OS::Neutron::RouterInterface
    properties: {router: {get_resource: router}, subnet: {get_resource: subnet}}
  group:
    type: OS::Neutron::SecurityGroup
    properties: {rules: [{protocol: tcp, port_range_min: 22, port_range_max: 22}]}
  port:
    type: OS::Neutron::Port
    properties:
      network: {get_resource: net}
      security_groups: [{get_resource: group}]
      fixed_ips: [{subnet: {get_resource: subnet}}]
  address:
    type: OS::Neutron::FloatingIP
    depends_on: interface
    properties: {floating_network: public, port_id: {get_resource: port}}
  head:
    type: OS::Nova::Server
    properties: {image: cirros, flavor: m1.small, networks: [{port: {get_resource: port}}]}
  volume: {type: OS::Cinder::Volume, properties: {size: 2}}
  attachment:
    type: OS::Cinder::VolumeAttachment
    properties: {instance_uuid: {get_resource: head}, volume_id: {get_resource: volume}}
  handle: {type: OS::Heat::WaitConditionHandle}
  signal:
    type: OS::Heat::WaitCondition
    depends_on: head
    properties: {handle: {get_resource: handle}, count: 1, timeout: 600}
  workers:
    type: OS::Heat::ResourceGroup
    depends_on: subnet
    properties:
      count: {get_param: count}
      resource_def:
        type: OS::Nova::Server
        properties:
          name: {list_join: ["-", [{get_param: prefix}, "%index%"]]}
          image: cirros
          flavor: m1.tiny
          networks: [{network: {get_resource: net}}]
outputs:
  endpoint: {value: {get_attr: [handle, endpoint]}}
  token: {value: {get_attr: [handle, token]}}
  data: {value: {get_attr: [signal, data]}}
"""
GROUP = """
heat_template_version: 2021-04-16
parameters: {count: {type: number}}
resources:
  net: {type: OS::Neutron::Net}
  subnet:
    type: OS::Neutron::Subnet
    properties: {network: {get_resource: net}, cidr: 10.9.0.0/16}
  workers:
    type: OS::Heat::ResourceGroup
    depends_on: subnet
    properties:
      count: {get_param: count}
      resource_def:
        type: OS::Nova::Server
        properties: {image: cirros, flavor: m1.tiny, networks: [{network: {get_resource: net}}]}
"""


def test_a_stack_of_everything_is_signalled_grows_shrinks_and_goes(
    cloud: Any, heat: Any, name: str
) -> None:
    stack = heat.begin(name, EVERYTHING, count=2, prefix=name)
    until(lambda: heat.resources(stack).get("signal", ""), "CREATE_IN_PROGRESS".__eq__)
    endpoint, token = heat.output(stack, "endpoint"), heat.output(stack, "token")
    answer = cloud.session.post(
        endpoint,
        json={"status": "SUCCESS", "data": "hello"},
        headers={"X-Auth-Token": token},
        authenticated=False,
    )
    assert answer.ok
    assert heat.wait(stack, "CREATE") == "COMPLETE"
    for count in (4, 1):
        assert heat.update(stack, EVERYTHING, count=count, prefix=name) == "COMPLETE"
        # One that the template makes beside the group is named by Heat, with letters behind.
        servers = {s.name for s in cloud.compute.servers() if re.fullmatch(rf"{name}-\d+", s.name)}
        assert servers == {f"{name}-{index}" for index in range(count)}
    assert "hello" in heat.output(stack, "data")
    heat.delete(stack)
    assert not [s for s in cloud.compute.servers() if s.name.startswith(name)]


@pytest.mark.parametrize("verb", ["restart", "kill"])
def test_a_create_that_lost_its_engine_is_gone_on_with(
    heat: Any, cloud: Any, openstack_lab: OpenStackLab, name: str, verb: str
) -> None:
    stack = heat.begin(name, GROUP, count=4)
    until(lambda: heat.resources(stack).get("subnet", ""), "CREATE_COMPLETE".__eq__)
    openstack_lab.order(verb, "heat-engine")
    openstack_lab.order("start", "heat-engine")
    # What a killed engine had begun stays IN_PROGRESS, as upstream: an update takes it up.
    assert heat.update(stack, GROUP, count=4) == "COMPLETE"
    # What it had asked for and not yet noted is in no stack, as upstream, and holds the subnet.
    for server in heat.lost(stack):
        cloud.compute.delete_server(server)
        cloud.compute.wait_for_delete(server)
    heat.delete(stack)


def test_a_failed_server_fails_its_stack_with_the_reason(
    heat: Any, cloud: Any, openstack_lab: OpenStackLab, name: str
) -> None:
    # The group's server alone: Heat puts the stack's name into those of the other servers too.
    openstack_lab.faults({"service": "nova", "method": "POST", "path": "/servers$", "status": 403,
                          "message": "not for you", "body": f'"{name}-0"'})  # fmt: skip
    stack = heat.begin(name, EVERYTHING, count=1, prefix=name)
    assert heat.wait(stack, "CREATE") == "FAILED"
    assert "workers" in cloud.orchestration.get_stack(stack).status_reason
    openstack_lab.faults()
    heat.delete(stack)
