"""The PyMC model: priors, the likelihood as an Op, sampling and the fast screen.

The only importer of PyMC, PyTensor and nutpie, and only from the modules that sample: importing
this package loads none of them.
"""
