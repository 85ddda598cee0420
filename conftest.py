"""Fixtures that the tests of the product and of the labs share: labs that are slow to start."""

pytest_plugins = ["tests.kubernetes_lab", "tests.openstack_lab"]
