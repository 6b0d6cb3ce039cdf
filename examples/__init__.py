"""Whole handler modules, each as an author would write it. Point a worker at them with SLUICE_HANDLERS, or copy one."""
