"""The rows of the table, one module each. A row declares its quantities with their targets, and measures them.

Every run of a row measures the row's limits and rivals too, one after another: only such ratios are worth comparing.
"""
