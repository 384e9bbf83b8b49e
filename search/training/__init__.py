"""Training one candidate: first weights, recipe, samplers, evaluation, retries."""
