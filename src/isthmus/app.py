"""The composition root: it alone knows every room, and nothing imports it."""
