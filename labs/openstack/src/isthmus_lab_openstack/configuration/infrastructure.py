"""MariaDB and RabbitMQ, and the clouds.yaml by which clients find the lab."""

from __future__ import annotations

import json

from isthmus_lab_openstack.configuration.common import Files, identity_url
from isthmus_lab_openstack.settings import HOST, PASSWORD, REGION, Settings


def infrastructure(lab: Settings) -> Files:
    """A database that never waits for the disk, and a broker that takes half a gigabyte at most."""
    return {
        "mysql.cnf": _MYSQL.format(
            var=lab.var, run=lab.run, host=HOST, port=lab.port("mysql"), log=lab.log
        ),
        "rabbit/rabbitmq.conf": _RABBIT.format(
            password=PASSWORD, host=HOST, port=lab.port("rabbit")
        ),
        "rabbit/enabled_plugins": "[].\n",
        "clouds.yaml": json.dumps({"clouds": clouds(lab)}, indent=1) + "\n",
    }


def clouds(lab: Settings) -> dict[str, dict[str, object]]:
    """The clouds by name: `lab` is the project demo, `lab-admin` may do everything."""
    return {
        cloud: {
            "auth": {
                "auth_url": identity_url(lab),
                "username": user,
                "password": PASSWORD,
                "project_name": user,
                "user_domain_name": "Default",
                "project_domain_name": "Default",
            },
            "region_name": REGION,
            "identity_api_version": "3",
        }
        for cloud, user in (("lab", "demo"), ("lab-admin", "admin"))
    }


# What is lost when the machine goes down is made again: no log, no double write, no flush.
_MYSQL = """[mysqld]
datadir={var}/mysql
socket={run}/mysql.sock
pid-file={run}/mysql.own
log-error={log}/mysql-server.log
bind-address={host}
port={port}
user=root
skip-name-resolve
skip-log-bin
max_connections=800
innodb_buffer_pool_size=256M
innodb_log_file_size=64M
innodb_flush_log_at_trx_commit=0
innodb_doublewrite=0
innodb_flush_method=nosync
performance_schema=off
character-set-server=utf8mb4
collation-server=utf8mb4_general_ci
"""
_RABBIT = """loopback_users = none
default_user = lab
default_pass = {password}
vm_memory_high_watermark.absolute = 512MB
log.console = false
listeners.tcp.1 = {host}:{port}
"""
