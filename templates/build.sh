#!/usr/bin/env bash
# Builds the image, pushes it and writes the image spec to gs://. See usage below and README.md.
set -euo pipefail

usage() {
  cat <<'USAGE'
Usage: templates/build.sh [TAG]

Builds the image of the Flex Template, pushes it and writes its spec:
  gs://SPECS/templates/clipscout-TAG.json   this version, for good
  gs://SPECS/templates/clipscout.json       the current version, a copy of it

TAG defaults to the version and the commit, e.g. 0.1.0-1a2b3c4.

Variables:
  PROJECT     project of the repository and of the build
  REGION      region of the repository, e.g. us-central1
  REPOSITORY  Artifact Registry repository of format docker
  SPECS       bucket for the spec, without gs://
  BUILDER     cloud (default: Cloud Build), docker or buildah (on this machine)
  PIP_INDEX_URL, PYTHON_IMAGE, BEAM_IMAGE, LAUNCHER_IMAGE
              a mirror of the package index, and of the three bases (default: what the Dockerfile names); a
              password in an address stays in the image's history
USAGE
}

fail() {
  echo "build.sh: $*" >&2
  exit 2
}

case "${1:-}" in
  -h | --help)
    usage
    exit 0
    ;;
  -*) fail "unknown option $1; --help shows the usage" ;;
esac
[ $# -le 1 ] || fail "expected at most one argument, the tag, and got $#"
for name in PROJECT REGION REPOSITORY SPECS; do
  [ -n "${!name:-}" ] || fail "$name is not set; --help shows what it is for"
done
case "$SPECS" in
  *[!a-z0-9._-]*) fail "SPECS is '$SPECS', expected the name of a bucket, without gs://" ;;
esac
builder=${BUILDER:-cloud}
case "$builder" in
  cloud) tools=(gcloud python3) ;;
  docker | buildah) tools=(gcloud python3 "$builder") ;;
  *) fail "BUILDER is '$builder', expected cloud, docker or buildah" ;;
esac
for tool in "${tools[@]}"; do
  command -v "$tool" >/dev/null || fail "$tool is not installed"
done

arguments=()
for mirror in PIP_INDEX_URL PYTHON_IMAGE BEAM_IMAGE LAUNCHER_IMAGE; do
  [ -z "${!mirror:-}" ] || arguments+=("--build-arg=$mirror=${!mirror}")
  case "${!mirror:-}" in
    *[[:space:],\;\&\|\$\`\<\>\"\']*) fail "$mirror is '${!mirror}', expected an address without spaces, commas or quotes" ;;
  esac
done

cd "$(dirname "$0")/.."
tag=${1:-}
if [ -z "$tag" ]; then
  command -v git >/dev/null || fail "git is not installed; give a tag"
  [ -z "$(git status --porcelain)" ] || fail "the working tree has changes without a commit; commit them, or give a tag"
  version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' clipscout/__init__.py)
  tag="$version-$(git rev-parse --short HEAD)"
fi
case "$tag" in
  latest | cache) fail "the tag is '$tag', expected one that stays with this version" ;;
  [!A-Za-z0-9_]* | *[!A-Za-z0-9_.-]*) fail "the tag is '$tag', expected letters, digits, '_', '.' and '-'" ;;
esac

# before minutes of building: what the end needs
gcloud storage buckets describe "gs://$SPECS" --project="$PROJECT" >/dev/null ||
  fail "the bucket gs://$SPECS cannot be read; create it, or log in"
gcloud artifacts repositories describe "$REPOSITORY" --project="$PROJECT" --location="$REGION" >/dev/null ||
  fail "the repository $REPOSITORY cannot be read in $REGION; create it"
versioned="gs://$SPECS/templates/clipscout-$tag.json"
if gcloud storage objects describe "$versioned" --project="$PROJECT" >/dev/null 2>&1; then
  fail "$versioned is there already; a version stays what it is, give another tag"
fi
images="$REGION-docker.pkg.dev/$PROJECT/$REPOSITORY/clipscout"
image="$images:$tag"
dockerfile=templates/Dockerfile
echo "build.sh: building $image ($builder)"
case "$builder" in
  cloud)
    gcloud builds submit . --project="$PROJECT" --config=templates/cloudbuild.yaml \
      --ignore-file=templates/Dockerfile.dockerignore --substitutions="_IMAGE=$image,_CACHE=$images:cache,_ARGUMENTS=${arguments[*]-}"
    ;;
  docker)
    DOCKER_BUILDKIT=1 docker build --platform=linux/amd64 --file "$dockerfile" --build-arg IMAGE="$image" \
      ${arguments[@]+"${arguments[@]}"} --tag "$image" .
    docker push "$image"
    ;;
  buildah)
    buildah build --platform=linux/amd64 --layers --file "$dockerfile" --ignorefile templates/Dockerfile.dockerignore \
      --build-arg IMAGE="$image" ${arguments[@]+"${arguments[@]}"} --tag "$image" .
    buildah push "$image"
    ;;
esac

# by its digest, so that no later push changes what a running job starts workers from
digest=$(gcloud artifacts docker images describe "$image" --project="$PROJECT" --format='value(image_summary.digest)')
case "$digest" in
  sha256:*) ;;
  *) fail "the repository does not tell the digest of $image" ;;
esac
spec=$(mktemp)
trap 'rm -f "$spec"' EXIT
python3 templates/describe.py spec --image "$images@$digest" >"$spec"
gcloud storage cp "$spec" "$versioned" --project="$PROJECT" --content-type=application/json --if-generation-match=0
gcloud storage cp "$versioned" "gs://$SPECS/templates/clipscout.json" --project="$PROJECT"
echo "build.sh: image $images@$digest"
echo "build.sh: spec  $versioned"
