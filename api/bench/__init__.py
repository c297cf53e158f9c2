"""What the book does in a second, measured against pgbench on the same server: `tallystick bench`.

Every workload goes through the book's one door with every check on, and is answered only by durable commits.
Figures are medians of rounds that alternate with the reference. Nothing here is seen by the product itself.
"""
