"""Generated from `protos/bayesrca/api/v1` by `scripts/gen_protos.py`: do not edit."""
