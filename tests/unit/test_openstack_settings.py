"""A Provider of this driver: what is wrong is named, what is right is read."""

from collections.abc import Mapping

import pytest

from isthmus.drivers.openstack.settings import parse
from isthmus.errors import InvalidSpec
from isthmus.ports import Endpoint

URL = "https://keystone.test/v3"
BY_ID = {"application-credential-id": "1", "application-credential-secret": "s3cret"}
PASSWORD = {"username": "demo", "password": "s3cret"}


def endpoint(
    settings: Mapping[str, str] | None = None,
    credentials: Mapping[str, str] = BY_ID,
    region: str = "RegionOne",
) -> Endpoint:
    given = {"authUrl": URL} | dict(settings or {})
    return Endpoint(provider="p", region=region, settings=given, credentials=credentials)


def test_an_application_credential_is_enough():
    settings = parse(endpoint())
    assert settings.identity.method == "application_credential"
    assert settings.identity.arguments["application_credential_id"] == "1"
    assert (settings.interface, settings.rollback, settings.timeout_minutes) == (
        "public",
        False,
        60,
    )


def test_an_application_credential_by_name_says_whose_it_is():
    given = {"application-credential-name": "n", "application-credential-secret": "s"}
    with pytest.raises(InvalidSpec, match="username"):
        parse(endpoint(credentials=given))
    arguments = parse(endpoint(credentials=given | {"username": "demo"})).identity.arguments
    assert arguments["application_credential_name"] == "n"
    assert arguments["user_domain_name"] == "Default"


def test_a_password_needs_a_project():
    with pytest.raises(InvalidSpec, match=r"spec\.settings\.projectId"):
        parse(endpoint(credentials=PASSWORD))
    by_name = parse(endpoint({"projectName": "demo"}, PASSWORD)).identity.arguments
    assert by_name["project_domain_name"] == "Default"
    by_id = parse(endpoint({"projectId": "abc"}, PASSWORD)).identity.arguments
    assert by_id["project_id"] == "abc"


def test_keystone_is_addressed_by_its_version():
    assert parse(endpoint({"authUrl": "http://127.0.0.1:5000/"})).auth_url.endswith(":5000/v3")


def test_secrets_are_not_printed():
    assert "s3cret" not in repr(parse(endpoint()))


@pytest.mark.parametrize(
    ("settings", "credentials", "named"),
    [
        ({"colour": "red"}, BY_ID, "spec.settings.colour"),
        ({"authUrl": ""}, BY_ID, "spec.settings.authUrl"),
        ({"authUrl": "http://keystone.test/v3"}, BY_ID, "spec.settings.authUrl"),
        ({"authUrl": "https://me:pw@keystone.test/v3"}, BY_ID, "spec.settings.authUrl"),
        ({"interface": "secret"}, BY_ID, "spec.settings.interface"),
        ({"caBundle": "no"}, BY_ID, "spec.settings.caBundle"),
        ({"rollback": "perhaps"}, BY_ID, "spec.settings.rollback"),
        ({"timeoutMinutes": "soon"}, BY_ID, "spec.settings.timeoutMinutes"),
        ({"projectName": "demo"}, BY_ID, "spec.settings.projectName"),
        ({}, {}, "'username'"),
        ({}, {"username": "demo"}, "'password'"),
        ({}, {"application-credential-id": "1"}, "application-credential-secret"),
        ({}, {"application-credential-secret": "1"}, "application-credential-id"),
    ],
)
def test_what_is_wrong_is_named(
    settings: Mapping[str, str], credentials: Mapping[str, str], named: str
):
    with pytest.raises(InvalidSpec) as caught:
        parse(endpoint(settings, credentials))
    assert named in caught.value.message


def test_a_region_is_needed():
    with pytest.raises(InvalidSpec, match=r"spec\.region"):
        parse(endpoint(region=""))
