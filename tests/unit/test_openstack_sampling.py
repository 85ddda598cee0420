"""A sample of a template needs what the whole of it does."""

from hypothesis import given
from hypothesis import strategies as st

from isthmus.drivers.openstack.quotas import needs
from isthmus.drivers.openstack.sampling import every, sampled
from isthmus.drivers.openstack.template import Document

VOLUME = {"type": "OS::Cinder::Volume", "properties": {"size": 3}}


def group(count: object) -> dict[str, object]:
    properties = {"count": count, "resource_def": VOLUME}
    return {"type": "OS::Heat::ResourceGroup", "properties": properties}


def previewed(document: Document) -> dict[str, dict[str, object]]:
    """What Heat's preview lists: a group, and each of its members."""
    found: dict[str, dict[str, object]] = {}
    for name, resource in document.template["resources"].items():
        properties = resource["properties"]
        found[name] = {"resource_type": resource["type"], "properties": properties}
        for member in range(properties.get("count", 0)):
            inner = properties["resource_def"]
            found[f"{name}/{member}"] = {
                "resource_type": inner["type"], "properties": inner["properties"],
            }  # fmt: skip
    return found


@given(st.dictionaries(st.sampled_from("abc"), st.integers(0, 200)))
def test_a_sample_needs_what_all_do(counts: dict[str, int]):
    resources = {name: group(count) for name, count in counts.items()} | {"own": VOLUME}
    document = Document(template={"resources": resources}, files={"a.yaml": "x"})
    sample, factors = sampled(document)
    found = previewed(sample)
    assert len(found) <= 1 + 2 * len(counts)
    wanted = needs(previewed(document).values(), {})
    assert needs((resource for _, resource in every(found, factors)), {}) == wanted
    assert (sample.files, document.template["resources"]) == (document.files, resources)


def test_a_count_that_only_heat_knows_stays():
    document = Document(template={"resources": {"g": group({"get_param": "n"}), "h": group("7")}})
    sample, counts = sampled(document)
    assert counts == {"h": 7}
    assert sample.template["resources"]["g"] == group({"get_param": "n"})
