"""The composition root in parts: each builds some of what `app` puts together."""
