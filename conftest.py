"""Fixtures that the tests of the product and of the labs share: labs that are slow to start."""

pytest_plugins = ["tests.time_limit", "tests.openstack_lab", "tests.kubernetes_lab"]
