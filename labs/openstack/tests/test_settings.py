"""A lab's settings are kept in its state folder; its configuration follows from them alone."""

import socket
from configparser import RawConfigParser
from pathlib import Path

import pytest

from isthmus_lab_openstack import ports
from isthmus_lab_openstack.configuration.common import ini
from isthmus_lab_openstack.configuration.files import all_files
from isthmus_lab_openstack.migrations import DATABASES, commands
from isthmus_lab_openstack.programs import apis, daemons
from isthmus_lab_openstack.seeding import catalog
from isthmus_lab_openstack.settings import (
    SERVICES,
    STANDARD_PORTS,
    LabError,
    Settings,
    load,
)

BINARIES = Path("/venv/bin")


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    paste = tmp_path / "venv" / "etc" / "nova" / "api-paste.ini"
    paste.parent.mkdir(parents=True)
    paste.write_text("[composite:osapi_compute]\n")
    return tmp_path / "venv"


def test_a_new_folder_has_the_defaults_and_keeps_what_was_wished(tmp_path: Path) -> None:
    assert load(tmp_path).services == SERVICES
    load(tmp_path, computes=3, services=["heat"], compute_environment={"A": "b"}).save()
    again = load(tmp_path)
    assert (again.computes, again.services) == (3, ("keystone", "heat"))
    assert again.compute_environment == {"A": "b"}
    assert load(tmp_path, computes=1).computes == 1


def test_an_unknown_service_is_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="trove"):
        load(tmp_path, services=["trove"])


def test_every_service_has_files_databases_migrations_and_a_process(
    tmp_path: Path, venv: Path
) -> None:
    lab = load(tmp_path)
    files = all_files(lab, venv)
    running = " ".join(p.name for p in (*apis(lab, BINARIES), *daemons(lab, BINARIES)))
    for service in lab.services:
        assert any(path.startswith(f"{service}/") for path in files)
        assert commands(lab, BINARIES, service)
        assert DATABASES[service]
        assert service in running
        assert service in {entry[0] for entry in catalog(lab)}


def test_what_was_not_chosen_is_neither_configured_nor_run(tmp_path: Path, venv: Path) -> None:
    lab = load(tmp_path, services=["keystone", "neutron"])
    assert not [path for path in all_files(lab, venv) if path.startswith(("nova", "heat"))]
    assert {p.name for p in apis(lab, BINARIES)} == {"keystone-api", "neutron-api"}
    assert daemons(lab, BINARIES) == ()


def test_each_compute_host_has_a_file_without_a_database(tmp_path: Path, venv: Path) -> None:
    files = all_files(load(tmp_path, computes=3, compute_driver="mine.Driver"), venv)
    for index, path in enumerate(("nova/nova.conf", "nova-1/nova.conf", "nova-2/nova.conf")):
        file = RawConfigParser(strict=False)
        file.read_string(files[path].replace("[DEFAULT]", "[default]"))
        assert file["default"]["host"] == f"lab-compute-{index}"
        assert file["default"]["compute_driver"] == "lab.mine.Driver"
        assert not file.has_section("database")


def test_nodes_of_another_hardware_type_may_still_be_played(tmp_path: Path, venv: Path) -> None:
    file = RawConfigParser()
    lab = load(tmp_path, metal_driver="mine", driver_path=[tmp_path])
    file.read_string(all_files(lab, venv)["ironic/ironic.conf"].replace("[DEFAULT]", "[default]"))
    assert file["default"]["enabled_hardware_types"] == "mine"
    assert file["default"]["enabled_deploy_interfaces"] == "mine,fake"
    assert file["default"]["enabled_boot_interfaces"] == "fake"
    (ironic,) = [program for program in apis(lab, BINARIES) if program.name == "ironic"]
    assert str(tmp_path) in ironic.environment["PYTHONPATH"].split(":")


def test_a_list_becomes_a_line_for_each_item() -> None:
    assert ini({"a": {"x": ["1", "2"], "y": 3}}) == "[a]\nx = 1\nx = 2\ny = 3\n"


def test_every_port_of_a_lab_differs() -> None:
    assert len(set(STANDARD_PORTS.values())) == len(STANDARD_PORTS)


def test_labs_never_get_ports_of_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first, lock = ports.reserve(12000)
    with lock:
        second, other = ports.reserve(12000)
        other.close()
    ours = {port + first for port in STANDARD_PORTS.values()}
    theirs = {port + second for port in STANDARD_PORTS.values()}
    assert not ours & theirs


def test_a_range_with_a_taken_port_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    shift, lock = ports.reserve(15000)
    lock.close()
    with socket.create_server(("127.0.0.1", STANDARD_PORTS["heat"] + shift)):
        other, lock = ports.reserve(shift)
        lock.close()
    assert other != shift


def test_two_labs_ranges_share_no_port() -> None:
    shifts = [20000 + step for step in ports.STEPS]
    used = [{port + shift for port in STANDARD_PORTS.values()} for shift in shifts]
    assert len(set().union(*used)) == sum(map(len, used))


def test_settings_say_where_things_are(tmp_path: Path) -> None:
    lab = Settings(state=tmp_path, port_shift=100)
    assert lab.url("keystone") == "http://127.0.0.1:5100"
    assert lab.clouds == tmp_path / "etc" / "clouds.yaml"
