#!/bin/bash
# What looking at a dump costs its upload: a .sql.gz of 1 GiB to a MinIO on this machine, in turns with and without unpacking
# (health.full_below). usage: bench/health.sh [rounds]. Needs `make build servers`.
set -euo pipefail
rounds=${1:-5}
root=$(cd "$(dirname "$0")/.." && pwd)
work=$(mktemp -d)
server=
trap 'if [ "$server" ]; then kill "$server" 2>/dev/null || true; fi; rm -rf "$work"' EXIT
mkdir "$work/dumps" "$work/minio"
address=127.0.0.1:19567
MINIO_ROOT_USER=benchmark MINIO_ROOT_PASSWORD=benchmark "$root/.cache/bin/minio" server --quiet --address $address "$work/minio" >/dev/null 2>&1 &
server=$!
echo -n benchmark >"$work/key"
until curl -sf http://$address/minio/health/live; do kill -0 "$server"; sleep 0.1; done # no longer than it runs
mkdir "$work/minio/backups" # a bucket

# About 300 MiB of SQL, which packs as dumps do, over and over: gzip members in a row are one file.
awk 'BEGIN { srand(1); print "--\n-- PostgreSQL database dump\n--\n\nCOPY public.users (id, name, at, note) FROM stdin;"
	for (i = 0; i < 4000000; i++) printf "%d\tuser %d\t2026-11-23 03:%02d:01\t%x%x%x\n", i, rand() * 1e9, i % 60, rand() * 2 ^ 31, rand() * 2 ^ 31, rand() * 2 ^ 31
	print "\\.\n\n--\n-- PostgreSQL database dump complete\n--\n" }' | gzip >"$work/one.gz"
until [ "$(stat -c %s "$work/dump.gz" 2>/dev/null || echo 0)" -ge $((1 << 30)) ]; do cat "$work/one.gz" >>"$work/dump.gz"; done

measure() { # full_below: prints the seconds of the upload, and of the whole run
	rm -rf "$work/state" "$work/minio/backups"
	mkdir -p "$work/minio/backups"
	cat >"$work/offsite.yaml" <<-END
		host: bench
		state: $work/state
		watch: [{path: $work/dumps, settle: 0s}]
		recipients: [$(cat "$work/recipient")]
		health: {full_below: $1}
		targets: {minio: {minio: {endpoint: "http://$address", bucket: backups, access_key_file: $work/key, secret_key_file: $work/key}}}
	END
	[ -e "$work/signing.key" ] || "$root/bin/offsite" --config "$work/offsite.yaml" init >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
	local begin; begin=$(date +%s.%N)
	"$root/bin/offsite" --config "$work/offsite.yaml" agent --once 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
	local end; end=$(date +%s.%N)
	grep -o 'msg=delivered.*took=[0-9.a-z]*' "$work/log" | sed 's/.*took=//' | tr '\n' ' '
	echo "$end $begin" | awk '{ printf "%.1f s\n", $1 - $2 }'
}

mv "$work/dump.gz" "$work/dumps/shop_20260101.sql.gz"
"$root/bin/offsite" keygen 2>/dev/null >"$work/identity"
grep -o 'age1[a-z0-9]*' "$work/identity" | head -1 >"$work/recipient"

for ((i = 0; i < rounds; i++)); do
	echo "without: $(measure 1B)"
	echo "with:    $(measure 50GB)"
done
