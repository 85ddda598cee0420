"""Cinder's fake driver with room to spare; volumes are records, no byte of an image is copied."""

from cinder.tests import fake_driver


class PlayedVolumes(fake_driver.FakeLoggingVolumeDriver):
    """Ten terabytes that nothing fills."""

    def copy_image_to_volume(self, *args, **kwargs):
        pass

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
