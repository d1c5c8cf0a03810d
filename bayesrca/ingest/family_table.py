"""The default rules, in the order in which they are tried (explained in docs/families.md).

Patterns are written for the plain form of a name: every word stands between underscores.
"""

from __future__ import annotations

from bayesrca.incident import ComponentKind, Family, Statistic
from bayesrca.ingest.rule import Rule

_NOT_HOST = tuple(kind for kind in ComponentKind if kind is not ComponentKind.HOST)
_REQUEST_TIME = (
    r"latenc(y|ies)|durations?|(response|request|service|process|processing|load|rq)_time|elapsed"
    r"|delays?|round_trip|ttfb|time_to_first_byte|rt"
)
_OTHERS = r"client|upstream|egress|outbound|outgoing"
_FAILURE = (
    r"errs?|errors?|fail|fails|failed|failures?|faults?|exceptions?|panics?|[45]xx|servfail|timeouts?"
    r"|timed_out|reject(ed|s|ions?)|refused|denied|unauthorized|cancel(led|ed)|abort(ed|s)"
    r"|retr(y|ies|ied)|exhausted|throttl(e|es|ed|ing)|dropped|unavailable"
)
_DEMAND = (
    r"requests?|reqs?|calls?|invocations?|quer(y|ies)|transactions?|txns?|operations?|messages?"
    r"|records?|workload|throughput|traffic|qps|rps|tps|ops|lps|rpm"
)
_PER_TIME = r"per_(s|sec|second|min|minute|h|hour|day)"

DEFAULT_RULES: tuple[Rule, ...] = (
    # How long a component waits for its callees is their doing as much as its own.
    Rule(
        rf"_({_OTHERS})_(.*_)?({_REQUEST_TIME})_(?!(.*_)?(count|sum|bucket)_$)|_p\d+_to_",
        Family.EGRESS,
    ),
    Rule(rf"_({_OTHERS})_", Family.GENERIC),
    # The machine under a service is shared with its neighbours; on a host it is its own.
    Rule(r"^_(node|host|machine|vm)_", Family.HOST, kinds=_NOT_HOST),
    # The parts of a histogram: its count is demand, its sum and buckets are no duration.
    Rule(rf"_({_REQUEST_TIME})_.*_?(sample_)?count_$", Family.LOAD, Statistic.COUNT),
    Rule(rf"_({_REQUEST_TIME})_(.*_)?(sum|bucket)_$", Family.GENERIC, Statistic.VALUE),
    # Limits, sizes and backlogs move for many reasons and in either direction.
    Rule(r"_(limits?|quotas?|allocatable)_|_(cpu|mem|memory)_requests?_", Family.GENERIC),
    Rule(r"_(pool|queue|queued|backlog|lag|age|depth|pending)_", Family.GENERIC),
    Rule(r"_(in_?flight|concurren\w+)_", Family.GENERIC),
    Rule(r"_(until|expiry|expires|ttl)_|_per_(request|call|query|user)_", Family.GENERIC),
    Rule(r"_(cpu|vcpu|cpus|iowait)_|_processor_time_|_load_?(1|5|15|avg|average)_", Family.CPU),
    Rule(r"_(disks?|filesystem|fs|blkio|iops|inodes?|syscalls?)_", Family.DISK),
    Rule(r"_volume_(read|write|queue|idle|throughput)_|_io_(time|util|utilization)_", Family.DISK),
    Rule(r"_(network|nic|tcp|udp|packets?|sockets?|bandwidth)_", Family.NETWORK),
    Rule(r"_net_(?!http|grpc|rpc|server)|_(rx|tx|receive|transmit)_", Family.NETWORK),
    Rule(r"_bytes_(in|out|sent|received)_|_(in|out|sent|received)_bytes_", Family.NETWORK),
    Rule(r"_oom_|_gc_|_page_faults_|_memory_pressure_", Family.MEMORY),
    Rule(r"_(uptime|up|ready|readiness|alive|liveness|heartbeat|healthy)_", Family.AVAILABILITY),
    Rule(r"_(replicas|restarts?|restarted)_", Family.AVAILABILITY),
    # Successes that are counted are served demand; as a share they are one minus the errors.
    Rule(r"_success\w*_(.*_)?(count|total|sum)_$|_success\w*_" + _PER_TIME, Family.LOAD),
    Rule(rf"_({_FAILURE})_", Family.ERRORS),
    Rule(r"_(http|status|code|response)_(code_)?[45]\d\d_", Family.ERRORS),
    Rule(r"_(success\w*|succeeded|availability)_", Family.ERRORS),
    Rule(r"_(mem|memory|rss|heap|swap|working_set)_", Family.MEMORY),
    Rule(r"_(bytes|size|length|capacity|rows)_", Family.GENERIC),
    Rule(rf"_({_REQUEST_TIME})_", Family.LATENCY),
    Rule(r"_(ratio|pct|percent|percentage|fraction)_", Family.GENERIC),
    Rule(rf"_({_DEMAND})_|_{_PER_TIME}_", Family.LOAD),
    Rule(r"_p\d\d+_", Family.LATENCY),
    Rule(r"_(state|status|mode|phase)_$", Family.STATE),
    Rule(r"", Family.GENERIC),
)
