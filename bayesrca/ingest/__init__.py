"""Foreign formats in, incidents out: folders (docs/incident-folder.md), sources, OTLP."""

from bayesrca.ingest.families import FamilyRules
from bayesrca.ingest.folder import load_incident, load_topology_map
from bayesrca.ingest.normal_runs import load_normal_runs
from bayesrca.ingest.rule import Reading, Rule
from bayesrca.ingest.save import save_incident
from bayesrca.ingest.shared_normal import SharedNormal, share_normal
from bayesrca.ingest.truth import Truth, load_truth

__all__ = [
    "FamilyRules",
    "Reading",
    "Rule",
    "SharedNormal",
    "Truth",
    "load_incident",
    "load_normal_runs",
    "load_topology_map",
    "load_truth",
    "save_incident",
    "share_normal",
]
