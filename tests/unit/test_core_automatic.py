"""What auto becomes: by what the cloud has when the stack is made, and never another afterwards."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.core import automatic, catalog
from isthmus.core.automatic import Place, decide
from isthmus.errors import InvalidSpec, NotYet
from tests.catalog_files import a_provider, asked, offering

NAME = "apiBalancer"
BLUEPRINT = offering("kubernetes-nova").spec
THREE = {"controlPlaneReplicas": 3}
OCTAVIA = ("compute", "load-balancer")
CHOICES = st.sampled_from(["keepalived", "octavia"])
SERVICES = st.sampled_from([(), ("compute",), OCTAVIA, None])


def decided(services=OCTAVIA, former=None, *, adopting=False, **parameters):
    values = catalog.values_of(BLUEPRINT, asked("kubernetes-nova", "custom", parameters))
    place = Place(provider=a_provider("openstack", services), former=former, adopting=adopting)
    return decide(BLUEPRINT, values, place)


@pytest.mark.parametrize(
    ("services", "parameters", "value"),
    [
        (OCTAVIA, THREE, "octavia"),
        (("compute",), THREE, "keepalived"),
        ((), THREE, "keepalived"),
        (OCTAVIA, {}, "keepalived"),
        (None, {}, "keepalived"),
        (OCTAVIA, THREE | {NAME: "keepalived"}, "keepalived"),
        (OCTAVIA, THREE | {NAME: "octavia"}, "octavia"),
        (None, THREE | {NAME: "keepalived"}, "keepalived"),
        ((), {NAME: "octavia"}, "octavia"),
    ],
)
def test_what_a_new_cluster_gets(services, parameters, value):
    assert decided(services, **parameters).values[NAME] == value


def test_a_plan_says_what_was_chosen_and_why():
    why = "the cloud of Provider 'openstack' has"
    assert decided(**THREE).notes == (
        f"spec.parameters.apiBalancer: auto is octavia: {why} the service 'load-balancer'",
    )
    assert decided((), **THREE).notes == (
        f"spec.parameters.apiBalancer: auto is keepalived: {why} no service 'load-balancer'",
    )
    assert decided().notes == ()
    assert decided(**THREE, apiBalancer="keepalived").notes == ()


@given(made=CHOICES, services=SERVICES, wish=st.sampled_from([{}, {NAME: "auto"}]))
def test_what_was_chosen_once_stays(made, services, wish):
    assert decided(services, {NAME: made} | THREE, **THREE, **wish).values[NAME] == made


@given(made=CHOICES, services=SERVICES)
def test_what_runs_is_not_refused_when_its_service_goes(made, services):
    wish = THREE | {NAME: made}
    assert decided(services, wish, **wish).values[NAME] == made


def test_a_plan_says_that_what_runs_would_be_made_otherwise_today():
    assert decided(OCTAVIA, {NAME: "keepalived"}, **THREE).notes == (
        "spec.parameters.apiBalancer: auto stays keepalived, as it was made, though the cloud of "
        "Provider 'openstack' has the service 'load-balancer'",
    )
    assert decided(OCTAVIA, {NAME: "octavia"}, **THREE).notes == ()
    assert decided(None, {NAME: "octavia"}, **THREE).notes == ()
    assert decided(OCTAVIA, {NAME: "keepalived"}).notes == ()


@pytest.mark.parametrize("wish", ["auto", "octavia"])
def test_nothing_is_chosen_before_the_provider_has_spoken(wish):
    with pytest.raises(NotYet, match=r"^spec\.provider: .* has not said yet .*apiBalancer"):
        decided(None, **THREE, apiBalancer=wish)


def test_what_a_provider_said_before_it_was_changed_does_not_count():
    provider = a_provider("openstack", OCTAVIA)
    newer = provider.metadata.model_copy(update={"generation": 2})
    place = Place(provider=provider.model_copy(update={"metadata": newer}))
    values = catalog.values_of(BLUEPRINT, asked("kubernetes-nova", "production"))
    with pytest.raises(NotYet):
        decide(BLUEPRINT, values, place)


def test_of_what_is_adopted_the_tenant_says_which_it_is():
    with pytest.raises(InvalidSpec, match=r"^spec\.parameters\.apiBalancer: .*octavia or keepa"):
        decided(adopting=True, **THREE)
    for wish in ("octavia", "keepalived"):
        assert decided((), adopting=True, **THREE, apiBalancer=wish).values[NAME] == wish
    assert decided(adopting=True).values[NAME] == "keepalived"


@pytest.mark.parametrize(
    ("written", "where"), [("x", ""), ({"service": "s", "there": 1}, ".absent"), ({}, ".service")]
)
def test_an_offering_that_does_not_say_how_is_refused(written, where):
    parameters = {"properties": {"other": True, "size": {"x-auto": written}}}
    with pytest.raises(InvalidSpec) as caught:
        automatic.choices(parameters)
    assert caught.value.message.startswith(f"spec.parameters.properties.size.x-auto{where}: ")


@given(services=SERVICES)
def test_an_offering_without_choices_is_left_alone(services):
    pool = offering("network").spec
    values = catalog.values_of(pool, asked("network", "routed"))
    place = Place(provider=a_provider("openstack", services))
    assert decide(pool, values, place) == automatic.Decided(values=values)
