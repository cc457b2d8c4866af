#!/bin/sh
# Installs Debian's chromium, which the browser tests drive, where apt is at hand and this user may: root, or sudo
# without a password. Says one line when it begins, and one when it cannot; the tests then say what was skipped.
set -u
without() {
	echo "!!! NO CHROMIUM: $1. The browser tests will be skipped" >&2
	exit 0
}
apt() {
	$rights env DEBIAN_FRONTEND=noninteractive apt-get "$@" \
		-o DPkg::Lock::Timeout=120 -o Acquire::Retries=1 -o Acquire::http::Timeout=20
}
install() {
	apt install --yes --no-install-recommends chromium fonts-dejavu-core
}

command -v "${CLIPSCOUT_BROWSER:-chromium}" > /dev/null && exit 0
test -z "${CLIPSCOUT_BROWSER:-}" || without "CLIPSCOUT_BROWSER is '$CLIPSCOUT_BROWSER', which is no program"
command -v apt-get > /dev/null || without "there is no apt-get to install it with"
rights=
test "$(id -u)" = 0 || rights="sudo -n"
$rights true 2> /dev/null || without "installing it takes root's rights, or sudo without a password"

echo "installing chromium for the browser tests"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# the lists of packages may be missing or old
{ install || { apt update && install; }; } < /dev/null > "$log" 2>&1 ||
	without "apt-get could not install it ($(grep '^E: ' "$log" | tail -n 1))"
