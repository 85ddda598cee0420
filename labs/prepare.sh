#!/bin/sh
# Fills the caches of the labs: programs that are compiled, databases that are migrated. It takes
# minutes once and nothing later; with the lowest priority, since other things may be under way.
# What cannot be made here is said, and the tests that need it are skipped.
# Where ISTHMUS_CLOUDS_UNTIL is set, to seconds since the epoch, it ends by then.
# Usage: prepare.sh PYTHON
set -u
here=$(cd "$(dirname "$0")" && pwd)
state=$(mktemp -d)
trap 'rm -rf "$state"' EXIT
run() {
  lab=$1; shift
  left=$((${ISTHMUS_CLOUDS_UNTIL:-9999999999} - $(date +%s)))
  if [ "$left" -le 0 ]; then echo "labs: no time is left to prepare $lab"; return; fi
  PYTHONPATH="$here/$lab/src" timeout "$left" nice -n 19 "$python" -m "isthmus_lab_$lab" "$@" >/dev/null || true
}

python=$1
if command -v go >/dev/null || [ -x /usr/local/go/bin/go ]; then
  run kubernetes build --release 1.36
  run kubernetes build --helm 3 --helm 4
  run openstack prepare --state "$state/openstack"
  run kubernetes build --release 1.35
else
  echo "labs: there is no go here; the tests that need Kubernetes and its guests are skipped"
  run openstack prepare --state "$state/openstack"
fi
