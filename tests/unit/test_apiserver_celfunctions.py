"""Kubernetes' functions in rules."""

import pytest

from isthmus.apiserver.schema import Schema

TRUE = [
    "'abc'.charAt(1) == 'b' && 'abc'.charAt(3) == ''",
    "'a-b-c'.split('-') == ['a', 'b', 'c'] && 'a-b-c'.split('-', 2) == ['a', 'b-c']",
    "'tacocat'.substring(4) == 'cat' && 'tacocat'.substring(0, 4) == 'taco'",
    "'hello'.indexOf('l') == 2 && 'hello'.lastIndexOf('l') == 3 && [1, 2].indexOf(2) == 1",
    "'TacoCat'.lowerAscii() == 'tacocat' && ' x '.trim() == 'x'",
    "'hello hello'.replace('he', 'we', 1) == 'wello hello' && ['a', 'b'].join('/') == 'a/b'",
    "'%s has %d'.format(['a', 2]) == 'a has 2'",
    "[1, 2, 2].isSorted() && [1, 2].sum() == 3 && [1, 1].distinct() == [1]",
    "sets.contains([1, 2], [1]) && sets.equivalent([1, 2], [2, 1]) && !sets.intersects([1], [2])",
    "'sets.contains(' != ''",
    "isURL('https://a.b:80/c?d=e') && !isURL('../a') && !isURL('https://a b')",
    "url('https://u:p@a.b:80/c?d=e').getHost() == 'a.b:80'",
    "url('https://[::1]:80/c').getHostname() == '::1' && url('https://a').getPort() == ''",
    "url('https://a/x%20y?d=e').getEscapedPath() == '/x%20y'",
    "url('https://a/?d=e&d=f').getQuery()['d'] == ['e', 'f']",
    "isIP('10.0.0.1') && isIP('::1') && !isIP('10.0.0.01') && ip.isCanonical('::1')",
    "ip('127.0.0.1').isLoopback() && ip('::1').family() == 6 && ip('::1') == ip('0:0::1')",
    "cidr('10.0.0.0/8').containsIP('10.1.1.1')",
    "cidr('10.0.0.1/8').masked() == cidr('10.0.0.0/8')",
    "cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16') && !isCIDR('10.0.0.0')",
    "quantity('1Ki') == quantity('1024') && quantity('500m').add(quantity('1.5')).asInteger() == 2",
    "quantity('1G').isLessThan(quantity('1Gi'))",
    "!isQuantity('1x') && quantity('-1').sign() == -1",
    "semver('1.10.0').isGreaterThan(semver('1.9.0'))",
    "semver('1.0.0-a').compareTo(semver('1.0.0')) == -1",
    "!isSemver('1.0') && semver('1.2.3').minor() == 2",
]


@pytest.mark.parametrize("rule", TRUE)
def test_holds(rule: str) -> None:
    schema = Schema({"type": "object", "x-kubernetes-validations": [{"rule": rule}]})

    assert schema.admit({}) == ([], [])


@pytest.mark.parametrize("rule", ["url('..').getHost() == ''", "quantity('x').sign() == 1"])
def test_what_is_no_value_of_its_type_fails_the_rule(rule: str) -> None:
    schema = Schema({"type": "object", "x-kubernetes-validations": [{"rule": rule}]})

    assert "cannot be evaluated" in schema.admit({})[1][0].message


def test_formats_are_types_for_rules() -> None:
    schema = Schema({
        "type": "object",
        "properties": {
            "at": {"type": "string", "format": "date-time"},
            "data": {"type": "string", "format": "byte"},
            "times": {"type": "array", "items": {"type": "string", "format": "duration"}},
        },
        "x-kubernetes-validations": [
            {"rule": "self.at.getFullYear() == 2026 && self.data == b'hi'", "message": "no"},
            {"rule": "self.times.all(t, t > duration('1m'))", "message": "too short"},
        ],
    })  # fmt: skip

    good = {"at": "2026-01-01T00:00:00Z", "data": "aGk=", "times": ["1h30m"]}
    assert schema.admit(good) == ([], [])
    assert [c.message for c in schema.admit({**good, "times": ["5s"]})[1]] == ["too short"]
