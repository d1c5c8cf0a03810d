"""The posterior over root causes: probabilities, explanations, diagnostics."""
