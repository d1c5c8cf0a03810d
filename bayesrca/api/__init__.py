"""Generated from `protos/bayesrca/api` by `scripts/gen_protos.py`: do not edit."""
