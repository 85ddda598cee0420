"""The resource kinds, as data: one file each. Nothing here acts."""
