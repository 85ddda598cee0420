"""A first boot from a mirror, on servers that boot: their image has another Kubernetes inside.

They boot from volumes, and tell Heat themselves that they have joined. The mirror is a web server
on this host with what the lab has compiled; no way leads from them to anywhere else.
"""

import hashlib
import json
import socket
import tarfile
import threading
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from socketserver import TCPServer
from typing import Any

import pytest

from isthmus_lab_kubernetes import building
from isthmus_lab_kubernetes.settings import NEWEST, RELEASES
from tests.guest_site import Site, a_cluster, a_pool, everything, nothing_more, site
from tests.kubernetes_lab import ON_OPENSTACK, GuestCloud
from tests.openstack_lab import until

pytestmark = [*ON_OPENSTACK, pytest.mark.timeout(1800)]

VERSION = RELEASES[NEWEST]
TOOLS = ("kubeadm", "kubelet", "kubectl")
PLUGINS = ("bridge", "host-local", "loopback", "portmap")
IMAGES = ("coredns", "kube", "pause")
"""What kubeadm asks for; flannel's are in every image of the lab."""


@pytest.fixture
def here(guest_cloud: GuestCloud, tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path, guest_cloud) as place:
        yield place


def test_nodes_take_what_their_image_lacks_from_a_mirror(here: Site) -> None:
    image = here.cloud.prepare(min(RELEASES))
    here.cloud.prepare(NEWEST)
    before = everything(here.cloud)
    folder = here.folder / "mirror"
    pin = fill(folder / VERSION)
    with served(folder, here.cloud) as (url, asked):
        wanted = {"mirror": url, "mirrorSha256": pin, "bootVolumeGb": 10, "waitForNodes": True}
        here.apply(a_cluster("far", image, VERSION, **wanted), a_pool("far", 1))
        here.ready("cluster/far", 600)
        here.ready("nodepool/far")
        kubectl = here.kubectl("far")
        until(kubectl.versions, {VERSION}.__eq__, 60)
        until(lambda: len(kubectl.ready()), (2).__eq__, 60)
        files = {file.name for file in (folder / VERSION).iterdir()}
        assert {file for file, times in asked.items() if times >= 2} == files
        roots = [len(server.attached_volumes) for server in here.servers().values()]
        assert roots == [1, 1]
        here.home.run("delete", "cluster/far", "-n", "shop", "--timeout", "600")
        nothing_more(here.cloud, before)


def fill(folder: Path) -> str:
    """Write the mirror's folder of one version, and return its pin."""
    folder.mkdir(parents=True)
    built = building.mirror()
    for tool in TOOLS:
        (folder / tool).symlink_to(built / "release" / VERSION / "bin/linux/amd64" / tool)
    with tarfile.open(folder / "cni-plugins.tgz", "w:gz", compresslevel=1) as archive:
        for plugin in PLUGINS:
            archive.add(building.debian() / "usr/lib/cni" / plugin, plugin)
    join(folder / "images.tar", [built / "images" / VERSION / f"{name}.tar" for name in IMAGES])
    sums = "".join(f"{digest(file)}  {file.name}\n" for file in sorted(folder.iterdir()))
    (folder / "SHA256SUMS").write_text(sums)
    return digest(folder / "SHA256SUMS")


def digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def join(target: Path, archives: list[Path]) -> None:
    """Write one archive of container images with all that these have."""
    listed: list[Any] = []
    with tarfile.open(target, "w") as whole:
        for archive in archives:
            with tarfile.open(archive) as part:
                for member in part:
                    content = part.extractfile(member)
                    assert content is not None
                    if member.name == "manifest.json":
                        listed += json.load(content)
                    else:
                        whole.addfile(member, content)
        text = json.dumps(listed).encode()
        manifest = tarfile.TarInfo("manifest.json")
        manifest.size = len(text)
        whole.addfile(manifest, BytesIO(text))


class Gateway(ThreadingHTTPServer):
    """Serves at an address that may not be there yet (IP_FREEBIND of ip(7))."""

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IP, FREEBIND, 1)
        TCPServer.server_bind(self)  # HTTPServer's own asks DNS for a name of the address.
        self.server_name, self.server_port = self.server_address[:2]


FREEBIND = 15


@contextmanager
def served(folder: Path, cloud: GuestCloud) -> Generator[tuple[str, Counter[str]]]:
    """Serve a folder to guests: its URL, and how often each file was asked for.

    The host is the gateway of the cloud's outer network, as soon as a router leads there.
    """
    network = cloud.openstack.connect().network
    (subnet,) = network.find_network("public").subnet_ids
    gateway = network.get_subnet(subnet).gateway_ip
    asked: Counter[str] = Counter()

    class Handler(SimpleHTTPRequestHandler):
        def do_GET(self) -> None:
            asked[Path(self.path).name] += 1
            super().do_GET()

        def log_message(self, format: str, *args: Any) -> None:
            del format, args

    handler = partial(Handler, directory=str(folder))
    with Gateway((gateway, 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://{gateway}:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()
