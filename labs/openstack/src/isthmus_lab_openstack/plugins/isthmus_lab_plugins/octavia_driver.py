"""An Octavia provider without balancers: API, database and VIP ports are real, no packet passes.

The driver accepts everything. A thread in the API's process then does what Octavia's workers do
elsewhere: whatever is PENDING becomes ACTIVE, or is deleted together with its VIP port.
"""

import threading
import time

from octavia.common import constants, utils
from octavia.db import api as database
from octavia.db import models
from octavia_lib.api.drivers import provider_base
from oslo_log import log

LOG = log.getLogger(__name__)
PAUSE_SECONDS = 1
PARTS = (
    models.L7Rule,
    models.L7Policy,
    models.HealthMonitor,
    models.Member,
    models.Listener,
    models.Pool,
)
"""What belongs to a balancer, in the order in which it can be deleted."""
ACTIVE = {"provisioning_status": constants.ACTIVE, "operating_status": constants.ONLINE}


def _accept(self, *_args, **_kwargs):
    return None


_VERBS = [
    f"{thing}_{verb}"
    for thing in (
        "loadbalancer",
        "listener",
        "pool",
        "member",
        "health_monitor",
        "l7policy",
        "l7rule",
    )
    for verb in ("create", "update", "delete")
]
Accepting = type(
    "Accepting",
    (provider_base.ProviderDriver,),
    dict.fromkeys([*_VERBS, "member_batch_update", "loadbalancer_failover"], _accept),
)


class PlayedBalancers(Accepting):
    """The provider's face. It leaves the VIP's port to Octavia, which makes a real one."""

    def __init__(self):
        super().__init__()
        _start_once()


_started = threading.Lock()


def _start_once():
    if _started.acquire(blocking=False):
        threading.Thread(target=_settle_for_ever, daemon=True).start()


def _settle_for_ever():
    while True:
        try:
            with database.session().begin() as session:
                settle(session)
        except Exception:
            LOG.exception("settling balancers")
        time.sleep(PAUSE_SECONDS)


def settle(session):
    """Finish what is pending; only what the API has committed is seen."""
    pending = models.LoadBalancer.provisioning_status.like("PENDING%")
    for balancer in session.query(models.LoadBalancer).filter(pending).with_for_update():
        gone = balancer.provisioning_status == constants.PENDING_DELETE
        for part in PARTS:
            for item in session.query(part):
                if _balancer_of(item) == balancer.id:
                    _settle_part(session, item, gone=gone)
            session.flush()
        if gone:
            _release(balancer)
        else:
            _become(balancer, ACTIVE)


def _settle_part(session, item, *, gone):
    if gone or item.provisioning_status == constants.PENDING_DELETE:
        session.delete(item)
    else:
        _become(item, ACTIVE)


def _become(item, status):
    for name, value in status.items():
        setattr(item, name, value)


def _balancer_of(item):
    if isinstance(item, models.Member | models.HealthMonitor):
        return item.pool.load_balancer_id
    if isinstance(item, models.L7Policy):
        return item.listener.load_balancer_id
    if isinstance(item, models.L7Rule):
        return item.l7policy.listener.load_balancer_id
    return item.load_balancer_id


def _release(balancer):
    utils.get_network_driver().deallocate_vip(balancer.vip)
    balancer.provisioning_status = constants.DELETED
    balancer.operating_status = constants.OFFLINE
