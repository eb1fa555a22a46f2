"""A page in which clusters are looked at: files that any browser opens, without a network or a server."""
