"""Typed, validated doors to the native core. The only importers of ``bayesrca._core``.

One module per part of the core; importing one does not load the others.
"""
