"""Version v1alpha1: one file per kind."""
