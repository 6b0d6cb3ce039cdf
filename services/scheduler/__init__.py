"""Releases what is due: retries that waited out their backoff, jobs with a time to run at."""
