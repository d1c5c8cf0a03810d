"""What the alerts say of a component, in words."""

from __future__ import annotations

from bayesrca.evidence import AlertEvidence


def tell_alerts(alerts: AlertEvidence | None, i: int) -> list[str]:
    """Say how many alerts a component has and what all alerts make of it; nothing if they do not.

    Args:
        alerts: what fired, or None.
        i: index of the component.
    """
    if alerts is None or not alerts.counted[i] or not alerts.told:
        return []
    fired = int(alerts.fired[i])
    count = f"{fired} alert{'' if fired == 1 else 's'}" if fired else "no alert"
    return [f"{count} on it (log Bayes factor of all alerts {alerts.log_ratio[i]:+.1f})"]
