variable "project" {
  description = "Google Cloud project that everything is created in."
  type        = string
}

variable "region" {
  description = "Region of the services, the cache and the database."
  type        = string
  default     = "europe-west1"
}

variable "images" {
  description = "Where the images are: `<this>/sluice-<service>:<tag>`, such as europe-west1-docker.pkg.dev/acme/sluice."
  type        = string
}

variable "tag" {
  description = "Tag of the images. One release has one tag for all services; `latest` cannot be rolled back to."
  type        = string

  validation {
    condition     = var.tag != "latest"
    error_message = "A deployment names a release, not `latest`."
  }
}

variable "handlers" {
  description = "What workers run: `package.module:name` of each Handlers. The topology file must be of the same ones."
  type        = list(string)
}

variable "topology_file" {
  description = "What `sluice-admin topology show` printed for these handlers: topics, subscriptions, queues."
  type        = string
  default     = "topology.json"
}

variable "network" {
  description = "Name of the VPC network that the services reach the cache through."
  type        = string
  default     = "default"
}

variable "subnetwork" {
  description = "Name of the subnetwork in `region`. Direct VPC egress takes two addresses of it an instance."
  type        = string
  default     = "default"
}

variable "gateway_ingress" {
  description = "Who reaches the gateway: all, internal, or internal-and-cloud-load-balancing."
  type        = string
  default     = "all"

  validation {
    condition     = contains(["all", "internal", "internal-and-cloud-load-balancing"], var.gateway_ingress)
    error_message = "One of all, internal, internal-and-cloud-load-balancing."
  }
}

variable "gateway_min_instances" {
  description = "Gateways that are always there. 1 keeps the first request of a quiet hour fast."
  type        = number
  default     = 1
}

variable "gateway_max_instances" {
  description = "Gateways at most. 100 hold 60,000 requests at the 60 % at which Cloud Run adds instances."
  type        = number
  default     = 100
}

variable "worker_instances" {
  description = "Workers of each queue, by its name; queues that are not named get one. Worker pools do not scale by backlog."
  type        = map(number)
  default     = {}
}

variable "push_queues" {
  description = "Queues whose messages are pushed to workers that follow the backlog, down to none; the others are pulled."
  type        = list(string)
  default     = []
}

variable "worker_max_instances" {
  description = "Workers of a queue that is pushed, at most."
  type        = number
  default     = 100
}

variable "webhooks_instances" {
  description = "Instances that deliver webhooks. They share 16 shards, so that more than 16 do nothing more."
  type        = number
  default     = 2

  validation {
    condition     = var.webhooks_instances >= 1 && var.webhooks_instances <= 16
    error_message = "From 1 to 16."
  }
}

variable "aggregator_instances" {
  description = "Instances that merge batches and keep statistics. Two, so that one can be replaced or lost."
  type        = number
  default     = 2
  validation {
    condition     = var.aggregator_instances >= 1
    error_message = "Without an aggregator no batch is ever over."
  }
}

variable "public_url" {
  description = "Where clients reach the API: put before the paths in webhooks' messages. Empty: paths alone."
  type        = string
  default     = ""
}

variable "cache_node_type" {
  description = "Size of the cache's node. SHARED_CORE_NANO is for trials, HIGHMEM_MEDIUM holds 13 GB."
  type        = string
  default     = "STANDARD_SMALL"
}

variable "cache_replica_count" {
  description = "Replicas of the cache. Losing the cache costs latency only; one replica makes that rare."
  type        = number
  default     = 1
}

variable "cache_tls" {
  description = "Whether services speak TLS to the cache. Its own authority is mounted where they expect it."
  type        = bool
  default     = true
}

variable "database_location" {
  description = "Firestore's location: a region, or a multi-region such as eur3. It cannot be changed later."
  type        = string
  default     = "eur3"
}

variable "alert_channels" {
  description = "Notification channels of the alerts, as projects/<project>/notificationChannels/<id>."
  type        = list(string)
  default     = []
}

variable "cloud_run" {
  description = "Whether the services run on Cloud Run."
  type        = bool
  default     = true
}

variable "gke_namespace" {
  description = "Namespace of deploy/gke whose service accounts stand for those made here; empty where GKE is not used."
  type        = string
  default     = ""
}

variable "deletion_protection" {
  description = "Whether the database, the cache and the secrets survive a `terraform destroy`."
  type        = bool
  default     = true
}
