"""Whether Terraform grants each service what the table in docs/operations.md says, and nothing else.

The table is worked out from `deploy/services.json` as `deploy/terraform/identities.tf` does it; what that file's grants
look like is pinned here, so that a grant cannot be added without its line in the document.
"""

from collections.abc import Iterator
from typing import Final

from deploy.checks import hcl, services
from deploy.checks.declared import readers
from deploy.checks.report import ROOT, Outcome, found

DOCUMENT: Final = ROOT / "docs/operations.md"
BEGIN, END = "<!-- rights: begin -->", "<!-- rights: end -->"

GRANTS: Final = {
    "google_project_iam_member.project": ("${local.project_rights}", "${each.value.role}"),
    "google_project_iam_member.documents": (
        "${{for name, service in local.services : name => service if service.documents}}",
        "roles/datastore.user",
    ),
    "google_pubsub_topic_iam_member.publisher": ("${local.publishers}", "roles/pubsub.publisher"),
    "google_pubsub_subscription_iam_member.subscriber": ("${local.subscribers}", "roles/pubsub.subscriber"),
    "google_secret_manager_secret_iam_member.reader": ("${local.secret_readers}", "roles/secretmanager.secretAccessor"),
    "google_pubsub_topic_iam_member.dead_letters": ("${local.dead_lettering}", "roles/pubsub.publisher"),
    "google_pubsub_subscription_iam_member.dead_letters": ("${local.dead_lettering}", "roles/pubsub.subscriber"),
    "google_cloud_run_v2_service_iam_member.push": (
        (
            "${{for key, service in google_cloud_run_v2_service.service : key => service "
            'if local.manifests[key].service == "worker"}}'
        ),
        "roles/run.invoker",
    ),
    "google_pubsub_subscription_iam_member.pauses": (
        (
            "${{for subscription in local.topology.subscriptions : subscription.name => subscription "
            "if local.pushed[subscription.name]}}"
        ),
        "roles/pubsub.editor",
    ),
    "google_service_account_iam_member.pauses": (
        '${toset(length(var.push_queues) == 0 ? [] : ["scheduler"])}',
        "roles/iam.serviceAccountUser",
    ),
    "google_service_account_iam_member.gke": (
        '${var.gke_namespace == "" ? {} : local.services}',
        "roles/iam.workloadIdentityUser",
    ),
}
"""Every grant in Terraform: for what, and which role."""
FORBIDDEN: Final = ("roles/owner", "roles/editor", "roles/viewer", "admin")
TOPICS: Final = {"jobs": "topics of jobs", "events": "the events topic", "dead_letters": "topics of dead letters"}


def terraform_grants_the_documented_rights() -> Outcome:
    granted = {
        block.address: (block.body.get("for_each"), block.body.get("role"))
        for block in hcl.resources()
        if "_iam_" in block.type
    }
    faults = [f"{address} is not a grant that is known here" for address in sorted(granted.keys() - GRANTS.keys())]
    faults += [
        f"{address} is not for {GRANTS[address][0]} with {GRANTS[address][1]}"
        for address in sorted(GRANTS)
        if granted.get(address) != GRANTS[address]
    ]
    rows = list(rights())
    faults += [f"{who} has {role}" for who, role, _ in rows if any(word in role.lower() for word in FORBIDDEN)]
    if not documented(table()):
        faults.append("the table of rights in docs/operations.md is not this one; put it there:\n" + table())
    return found(f"{len(rows)} rights in {len(granted)} grants", *faults)


def rights() -> Iterator[tuple[str, str, str]]:
    """Who, which role, on what."""
    for name, service in services.table().items():
        for role in service["project_roles"]:
            yield name, role, "the project"
        if service["documents"]:
            yield name, "roles/datastore.user", "the database"
        for kind in service["publishes"]:
            yield name, "roles/pubsub.publisher", TOPICS[kind]
        yield from _reading(name)
        for secret in service["secrets"]:
            yield name, "roles/secretmanager.secretAccessor", f"the secret `{secret}`"
    yield "scheduler, where queues are pushed", "roles/pubsub.editor", "the subscriptions `*.worker` of those queues"
    yield "scheduler, where queues are pushed", "roles/iam.serviceAccountUser", "the account `sluice-push`"
    yield "`sluice-push`, where queues are pushed", "roles/run.invoker", "the workers' services"
    yield "Pub/Sub's service agent", "roles/pubsub.publisher", "topics of dead letters"
    yield "Pub/Sub's service agent", "roles/pubsub.subscriber", "subscriptions that have dead letters"


def _reading(service: str) -> Iterator[tuple[str, str, str]]:
    """By the subscriptions that name the service behind their dot."""
    if service in readers():
        yield service, "roles/pubsub.subscriber", f"the subscriptions `*.{service}`"


def table() -> str:
    """As Markdown."""
    lines = ["| who | role | on |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {who} | `{role}` | {on} |" for who, role, on in rights())])


def documented(table: str) -> bool:
    text = DOCUMENT.read_text()
    return f"{BEGIN}\n{table}\n{END}" in text
