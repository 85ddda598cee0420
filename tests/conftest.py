"""Fixtures of all tests."""

pytest_plugins = ["tests.aws_lab"]
