"""Whether Terraform makes the topics and subscriptions that the code declares, with every one of their policies.

Terraform reads `topology.json`, so there are two things to prove: that the file is what the code says, and that no
field of it is left unread.
"""

import json
import re
from typing import Final

from deploy.admin.declaration import SUBSCRIPTION_FIELDS
from deploy.checks import hcl
from deploy.checks.declared import example
from deploy.checks.report import Outcome, found
from deploy.local.settings import EXAMPLE_HANDLERS

MAKE: Final = f"SLUICE_HANDLERS={','.join(EXAMPLE_HANDLERS)} python -m deploy.admin topology show"


def terraform_reads_the_codes_topology() -> Outcome:
    declared = example()
    written = json.loads((hcl.FOLDER / "topology.json").read_text())
    faults = []
    if written != declared:
        faults.append(f"deploy/terraform/topology.json is not what the code declares; make it again: {MAKE}")
    text = (hcl.FOLDER / "topology.tf").read_text()
    read = set(re.findall(r"each\.value\.(\w+)", text))
    faults += [f"topology.tf does not read {field}" for field in SUBSCRIPTION_FIELDS if field not in read]
    faults += [f"a resource of Pub/Sub stands outside of topology.tf: {name}" for name in _strays()]
    return found(f"{len(declared['topics'])} topics, {len(declared['subscriptions'])} subscriptions", *faults)


def _strays() -> list[str]:
    """Topics and subscriptions that somebody made by hand."""
    known = {"google_pubsub_topic.topic", "google_pubsub_subscription.subscription"}
    kinds = {"google_pubsub_topic", "google_pubsub_subscription"}
    return [block.address for block in hcl.resources() if block.type in kinds and block.address not in known]
