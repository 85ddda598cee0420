"""A Provider's settings are checked before anything is called, and starting costs nothing."""

import subprocess
import sys

import pytest

from isthmus.drivers.aws import settings
from isthmus.errors import InvalidSpec
from isthmus.ports import Endpoint

KEYS = {"access-key-id": "AKIA", "secret-access-key": "s3cret"}


def endpoint(
    region: str = "eu-central-1", credentials: dict[str, str] | None = None, **given: str
) -> Endpoint:
    return Endpoint(
        provider="p",
        region=region,
        settings=given,
        credentials=KEYS if credentials is None else credentials,
        installation="here",
    )


def test_good_settings_are_read():
    found = settings.parse(
        endpoint(
            roleArn="arn:aws:iam::123456789012:role/isthmus",
            externalId="6f0c1a52",
            serviceRoleArn="arn:aws-cn:iam::123456789012:role/path/stacks",
            endpointUrl="http://127.0.0.1:4566/",
            templateBucket="templates",
            databaseCaBundle="-----BEGIN CERTIFICATE-----",
        )
    )
    assert found.endpoint_url == "http://127.0.0.1:4566"
    assert found.access_key is not None
    assert found.session_name == "isthmus"
    assert "s3cret" not in repr(found)


def test_without_a_secret_the_process_speaks_for_itself():
    assert settings.parse(endpoint(credentials={})).access_key is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"region": "mars"}, r"spec\.region: write an AWS region"),
        ({"roleArm": "x"}, r"spec\.settings\.roleArm: unknown to driver aws; known are: database"),
        ({"roleArn": "role"}, r"spec\.settings\.roleArn: write it like arn:aws:iam"),
        ({"externalId": "1234"}, r"externalId: it belongs to a role; set roleArn"),
        ({"endpointUrl": "http://aws.example"}, r"endpointUrl: http would send credentials"),
        ({"endpointUrl": "nonsense"}, r"endpointUrl: write a URL like"),
        ({"templateBucket": "Bad_Bucket"}, r"templateBucket: write it like"),
        ({"databaseCaBundle": "/etc/ca.pem"}, r"databaseCaBundle: write certificates as PEM"),
        ({"credentials": {"access-key-id": "x"}}, r"key 'secret-access-key' is missing"),
    ],
)
def test_a_wrong_setting_names_itself_and_the_remedy(given, words):
    with pytest.raises(InvalidSpec, match=words):
        settings.parse(endpoint(**given))


def test_the_driver_imports_no_sdk():
    """`isthmus up` imports every driver that a Provider names; an SDK only when it is called."""
    code = (
        "import sys, isthmus.drivers.aws\n"
        "heavy = {'boto3', 'botocore', 'cfnlint', 'psycopg', 'pymysql', 'jmespath'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert found.stdout.strip() == "[]"
