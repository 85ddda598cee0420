"""Isthmus: one declarative control plane over the stack engines that clouds already have."""
