#!/usr/bin/env bash
# Launches the template. See usage below and README.md.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: templates/run.sh JOB_NAME NAME=VALUE...

Launches the template; every NAME is an option of Clipscout (python -m pipeline --help, without the dashes):
  templates/run.sh clipscout-first input=gs://B/queries.csv output=gs://B/out classifier=lite0 max_videos=5

Variables:
  PROJECT         project that runs the job
  REGION          its region, e.g. us-central1
  BUCKET          bucket of the spec and of temporary files, without gs://
  WORKER_ACCOUNT  service account (e-mail) of the launcher and the workers
  SPEC            image spec (default: gs://BUCKET/templates/clipscout.json)
  MAX_WORKERS     most workers (default: what the spec says)
  SUBNETWORK      e.g. regions/REGION/subnetworks/NAME (default: the network default)
  PRIVATE         true: no public addresses; web downloads then need a Cloud NAT
USAGE
}

fail() {
  echo "run.sh: $*" >&2
  exit 2
}

case "${1:-}" in
  -h | --help)
    usage
    exit 0
    ;;
  -*) fail "unknown option $1; --help shows the usage" ;;
esac
for name in PROJECT REGION BUCKET WORKER_ACCOUNT; do
  [ -n "${!name:-}" ] || fail "$name is not set; --help shows what it is for"
done
[ $# -ge 1 ] || fail "the job's name is missing; --help shows the usage"
job=$1
shift
case "$job" in
  [!a-z]* | *[!a-z0-9-]* | *-) fail "the job's name is '$job', expected a-z, 0-9 and '-', a letter first" ;;
esac
command -v gcloud >/dev/null || fail "gcloud is not installed"

# gcloud splits at commas, which values may hold; this takes their place
between='|||'
parameters="^$between^"
given=' '
for pair in "$@"; do
  name=${pair%%=*}
  case "$pair" in
    *"$between"*) fail "$name: a value cannot hold '$between'" ;;
    [a-z]*=*) ;;
    *) fail "'$pair' is no NAME=VALUE" ;;
  esac
  case "$name" in
    *[!a-z0-9_]*) fail "'$name' is no option; options are spelled like max_videos" ;;
  esac
  case "$given" in
    *" $name "*) fail "$name is given twice" ;;
  esac
  [ "$given" = ' ' ] || parameters+=$between
  parameters+=$pair
  given+="$name "
done
for name in input output; do
  case "$given" in
    *" $name "*) ;;
    *) fail "$name=gs://... is missing" ;;
  esac
done

command=(
  gcloud dataflow flex-template run "$job"
  --project="$PROJECT"
  --region="$REGION"
  --template-file-gcs-location="${SPEC:-gs://$BUCKET/templates/clipscout.json}"
  --temp-location="gs://$BUCKET/tmp"
  --staging-location="gs://$BUCKET/staging"
  --service-account-email="$WORKER_ACCOUNT"
  --parameters="$parameters"
)
[ -z "${MAX_WORKERS:-}" ] || command+=(--max-workers="$MAX_WORKERS")
[ -z "${SUBNETWORK:-}" ] || command+=(--subnetwork="$SUBNETWORK")
case "${PRIVATE:-false}" in
  true) command+=(--disable-public-ips) ;;
  false) ;;
  *) fail "PRIVATE is '$PRIVATE', expected true or false" ;;
esac
"${command[@]}"
