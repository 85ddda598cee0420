"""The services' configuration files, one module a service, as pure functions of the settings."""
