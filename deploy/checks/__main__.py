"""`python -m deploy.checks`: every check, a line each; exit status 1 where one found a fault."""

import sys
from typing import Final

from deploy.checks import (
    cloudrun,
    compose,
    evaluation,
    gke,
    monitoring,
    reference,
    rights,
    runbook,
    services,
    terraform,
    topology,
)
from deploy.checks.report import Check, Found, Skipped

CHECKS: Final[tuple[Check, ...]] = (
    services.every_service_is_deployed,
    topology.terraform_reads_the_codes_topology,
    terraform.files_are_formatted,
    terraform.arguments_exist,
    terraform.names_resolve,
    evaluation.terraform_computes_what_is_meant,
    rights.terraform_grants_the_documented_rights,
    cloudrun.manifests_fit_their_schema,
    gke.objects_fit_their_schemas,
    gke.pods_have_time_to_drain,
    gke.only_those_who_may_reach_the_internet,
    gke.overlays_build,
    compose.file_fits_its_schema,
    monitoring.dashboards_are_as_written,
    monitoring.queries_name_what_exists,
    runbook.alerts_have_an_entry,
    reference.documents_are_as_written,
)


def main() -> int:
    """Exit status."""
    return max(_told(check) for check in CHECKS)


def _told(check: Check) -> int:
    name = check.__name__.replace("_", " ")
    match check():
        case Skipped(reason):
            print(f"skipped  {name}: {reason}")
        case Found(looked_at, ()):
            print(f"ok       {name} ({looked_at})")
        case Found(looked_at, faults):
            print(f"FAULTS   {name} ({looked_at})")
            for fault in faults:
                print(f"           {fault}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
