#!/usr/bin/env bash
# Launches the template. See usage below and README.md.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: templates/run.sh JOB_NAME NAME=VALUE...

Launches the template; every NAME is a parameter in templates/metadata.json:
  templates/run.sh clipscout-first input=gs://B/queries.csv output=gs://B/out classifier=lite0 max_videos=5

Variables:
  PROJECT         project that runs the job
  REGION          its region, e.g. us-central1
  SPECS           bucket of the spec, without gs://
  BUCKET          bucket of staged and temporary files, without gs://
  WORKER_ACCOUNT  service account (e-mail) of the launcher and the workers
  SPEC            image spec (default: gs://SPECS/templates/clipscout.json)
  MAX_WORKERS     most workers (default: what the spec says)
  MACHINE_TYPE    of the workers (default: what follows from the options)
  DISK_GB         of each worker (default: what follows from the options)
  LAUNCHER_MACHINE  machine type of the launcher (default: Dataflow's own)
  LAUNCHER_SECONDS  how long a launch may take, the pull of the image included (default: Dataflow's own, 12 minutes)
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
for name in PROJECT REGION SPECS BUCKET WORKER_ACCOUNT; do
  [ -n "${!name:-}" ] || fail "$name is not set; --help shows what it is for"
done
case "$REGION" in
  [a-z]*-[a-z]*[0-9]) ;;
  *) fail "REGION is '$REGION', expected one like us-central1" ;;
esac
case "$WORKER_ACCOUNT" in
  *[!a-z0-9@.:-]* | @* | *@) fail "WORKER_ACCOUNT is no e-mail address of a service account" ;;
  *@*) ;;
  *) fail "WORKER_ACCOUNT is no e-mail address of a service account" ;;
esac
[ $# -ge 1 ] || fail "the job's name is missing; --help shows the usage"
job=$1
shift
case "$job" in
  [!a-z]* | *[!a-z0-9-]* | *-) fail "the job's name is '$job', expected a-z, 0-9 and '-', a letter first" ;;
esac
command -v gcloud >/dev/null || fail "gcloud is not installed"

metadata=$(<"$(dirname "$0")/metadata.json")
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
  case "$metadata" in
    *"\"name\": \"$name\""*) ;;
    *) fail "'$name' is no parameter of the template; templates/metadata.json lists them" ;;
  esac
  case "$pair" in
    input=gs://* | output=gs://*) ;;
    input=* | output=*) fail "$name is '${pair#*=}', expected a place on gs://" ;;
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
  --template-file-gcs-location="${SPEC:-gs://$SPECS/templates/clipscout.json}"
  --temp-location="gs://$BUCKET/tmp"
  --staging-location="gs://$BUCKET/staging"
  --service-account-email="$WORKER_ACCOUNT"
  --parameters="$parameters"
)
[ -z "${MAX_WORKERS:-}" ] || command+=(--max-workers="$MAX_WORKERS")
[ -z "${MACHINE_TYPE:-}" ] || command+=(--worker-machine-type="$MACHINE_TYPE")
[ -z "${DISK_GB:-}" ] || command+=(--additional-pipeline-options="disk_size_gb=$DISK_GB")
[ -z "${LAUNCHER_MACHINE:-}" ] || command+=(--launcher-machine-type="$LAUNCHER_MACHINE")
[ -z "${LAUNCHER_SECONDS:-}" ] || command+=(--launcher-vm-timeout-secs="$LAUNCHER_SECONDS")
[ -z "${SUBNETWORK:-}" ] || command+=(--subnetwork="$SUBNETWORK")
case "${PRIVATE:-false}" in
  true) command+=(--disable-public-ips) ;;
  false) ;;
  *) fail "PRIVATE is '$PRIVATE', expected true or false" ;;
esac
"${command[@]}"
