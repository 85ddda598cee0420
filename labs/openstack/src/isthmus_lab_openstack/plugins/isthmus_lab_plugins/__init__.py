"""Code of the lab that runs inside OpenStack's own processes."""
