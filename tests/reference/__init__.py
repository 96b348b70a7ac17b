"""A naive second program for the events: per vessel, per position, nothing shared with the product.

It is slow and plain on purpose. The tests compare what the product's watch writes with what this says.
"""
