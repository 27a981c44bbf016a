#!/bin/sh
# Launches a session and keeps its report: for a coordinator's timer.
# Usage: launch-session.sh DIR/node.toml MANIFEST.toml REPORT.json [TIME TO WAIT]
set -eu
report=$3
matchbit session launch "$2" --config "$1" --wait-approvals "${4:-2h}" --json > "$report.new"
mv "$report.new" "$report"
