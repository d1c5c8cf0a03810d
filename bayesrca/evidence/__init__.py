"""What an incident's telemetry says about each component, as named arrays."""

from bayesrca.evidence.build import build_evidence
from bayesrca.evidence.evidence import FAMILIES, Evidence, FamilyTable

__all__ = ["FAMILIES", "Evidence", "FamilyTable", "build_evidence"]
