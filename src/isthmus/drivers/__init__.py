"""One folder a cloud. A folder is a driver; drivers never know each other."""
