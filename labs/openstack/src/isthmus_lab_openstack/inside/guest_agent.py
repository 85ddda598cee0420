"""Plays the agent in every guest: completes software deployments that wait for a signal.

Without it each Magnum cluster would wait for its time limit. Wait conditions are left alone: they
are for the guest, or the test, to signal.
"""

import sys
import time

import openstack

PAUSE_SECONDS = 2
DONE = {
    "status": "COMPLETE",
    "status_reason": "played by the lab",
    "output_values": {"deploy_stdout": "", "deploy_stderr": "", "deploy_status_code": 0},
}


def complete(heat) -> None:
    deployments = heat.get("/software_deployments").json().get("software_deployments", [])
    for deployment in deployments:
        if deployment["status"] == "IN_PROGRESS":
            answer = heat.put("/software_deployments/" + deployment["id"], json=DONE)
            sys.stdout.write(f"deployment {deployment['id']}: {answer.status_code}\n")


def main() -> None:
    heat = openstack.connect(cloud="lab").orchestration
    while True:
        try:
            complete(heat)
        except Exception as error:  # noqa: BLE001  # Heat may be down for a while.
            sys.stdout.write(f"{error!r}\n")
        time.sleep(PAUSE_SECONDS)


main()
