#!/bin/sh
# Installs the Debian packages that `make test-labs` and `make test-clouds` can use, where we may; says what is missing.
set -u
missing=""

# need PACKAGE FILE: the package is wanted where the file is not there.
need() {
  [ -e "$2" ] || missing="$missing $1"
}

need mariadb-server /usr/sbin/mariadbd
need rabbitmq-server /usr/lib/rabbitmq/bin/rabbitmq-server
need memcached /usr/bin/memcached
# Guests of labs/kubernetes.
need mmdebstrap /usr/bin/mmdebstrap
need systemd-container /usr/bin/systemd-nspawn
need iproute2 /usr/sbin/ip
need nftables /usr/sbin/nft
need iptables /usr/sbin/xtables-nft-multi
need conntrack /usr/sbin/conntrack
need busybox-static /usr/share/doc/busybox-static
need openssl /usr/bin/openssl
[ -z "$missing" ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "labs: not installed:$missing (needs root and apt); the tests that need them are skipped"
  exit 0
fi
export DEBIAN_FRONTEND=noninteractive
# A service must not start on the machine only because a test needs its program.
if [ ! -e /usr/sbin/policy-rc.d ]; then
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d
  trap 'rm -f /usr/sbin/policy-rc.d' EXIT
fi
log=$(mktemp)
# shellcheck disable=SC2086
if { apt-get -q update && apt-get -q install -y --no-install-recommends $missing; } >"$log" 2>&1; then
  echo "labs: installed$missing"
else
  tail -5 "$log"
  echo "labs: could not install$missing; the tests that need them are skipped"
fi
rm -f "$log"
