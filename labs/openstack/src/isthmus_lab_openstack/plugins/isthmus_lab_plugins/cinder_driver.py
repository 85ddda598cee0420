"""Cinder's fake driver with room to spare; volumes are records, no byte of an image is copied.

A driver of real guests may keep a volume's content in var/volumes/ID: it goes with the volume.
"""

import os
import shutil
from pathlib import Path

from cinder.tests import fake_driver

CONTENT = Path(os.environ["ISTHMUS_OPENSTACK_LAB"]) / "var" / "volumes"


class PlayedVolumes(fake_driver.FakeLoggingVolumeDriver):
    """Ten terabytes that nothing fills."""

    def copy_image_to_volume(self, context, volume, *args, **kwargs):
        shutil.rmtree(CONTENT / volume.id, ignore_errors=True)

    def delete_volume(self, volume):
        super().delete_volume(volume)
        shutil.rmtree(CONTENT / volume.id, ignore_errors=True)

    def clone_image(self, *args, **kwargs):
        return {}, True

    def _update_volume_stats(self):
        name = self.configuration.safe_get("volume_backend_name") or "fake"
        pool = {
            "pool_name": name,
            "total_capacity_gb": 10240,
            "free_capacity_gb": 10240,
            "provisioned_capacity_gb": 0,
            "allocated_capacity_gb": 0,
            "reserved_percentage": 0,
            "thin_provisioning_support": True,
            "thick_provisioning_support": False,
            "max_over_subscription_ratio": "20.0",
            "multiattach": True,
            "backend_state": "up",
            "QoS_support": False,
        }
        self._stats = {
            "volume_backend_name": name,
            "vendor_name": "Isthmus lab",
            "driver_version": "1",
            "storage_protocol": "iSCSI",
            "pools": [pool],
        }
