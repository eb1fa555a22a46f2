"""``otlabel-bench``: how fast otlabel and other solvers are on this machine, and how right.

Each solver runs in a process of its own and is judged from its own potentials or labels, in float64.
"""
