"""What a healthy answer keeps to; read by those who check draws and by those who read answers."""

from __future__ import annotations

R_HAT_LIMIT = 1.01
"""Healthy below it (NUTS)."""
ESS_LIMIT = 400.0
"""Healthy above it (NUTS)."""
PARETO_K_LIMIT = 0.7
"""Healthy below it (the screen)."""
PRIOR_DISTANCE_LIMIT = 5.0
"""Prior standard deviations a parameter's posterior mean may lie from its prior's centre."""
SUM_ERROR_LIMIT = 0.5
"""Standard error a leading hypothesis' log probability may have from estimated sums."""
