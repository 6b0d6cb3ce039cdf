"""Every test, by folder as CONTRIBUTING.md lists them."""
