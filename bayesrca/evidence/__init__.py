"""What an incident's telemetry says about each component, as named arrays."""

from bayesrca.evidence.alarm_test import AlarmTest
from bayesrca.evidence.alert_evidence import AlertEvidence
from bayesrca.evidence.build import build_evidence
from bayesrca.evidence.evidence import FAMILIES, Evidence, FamilyTable
from bayesrca.evidence.onsets import OnsetTable
from bayesrca.evidence.states import StateTable
from bayesrca.evidence.table import EvidenceRow, EvidenceTable
from bayesrca.evidence.trace_evidence import Change, RegionShare, TraceEvidence, TraceTest
from bayesrca.evidence.vitals import VITALS, VitalTable

__all__ = [
    "FAMILIES",
    "VITALS",
    "AlarmTest",
    "AlertEvidence",
    "Change",
    "Evidence",
    "EvidenceRow",
    "EvidenceTable",
    "FamilyTable",
    "OnsetTable",
    "RegionShare",
    "StateTable",
    "TraceEvidence",
    "TraceTest",
    "VitalTable",
    "build_evidence",
]
