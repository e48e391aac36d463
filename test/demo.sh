#!/usr/bin/env bash
# Shows what offsite does, in a scratch directory that is removed afterwards: test/demo.sh PATH-OF-OFFSITE
set -euo pipefail
offsite=$(realpath "${1:?usage: demo.sh path/to/offsite}")
here=$(mktemp -d)
agent=
finish() {
	[ -z "$agent" ] || { kill "$agent" 2>/dev/null || true; wait "$agent" 2>/dev/null || true; }
	rm -rf "$here"
}
trap finish EXIT
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
cd "$here"
mkdir dumps
export OFFSITE_CONFIG=$here/etc/offsite.yaml

say "1. One command writes configuration, keys and recovery kit. The backups go to a mounted directory here."
"$offsite" init --yes --host db-server --zone UTC --state "$here/state" --watch "$here/dumps" --target nas="$here/nas"

say "2. The agent starts, and watches the directory with the dumps."
"$offsite" agent 2>agent.log &
agent=$!

say "3. A cron job dumps a database, as it always did: pg_dump | gzip into the directory."
stamp=$(date -u +%Y%m%d_%H%M%S)
dump=dumps/shop_$stamp.sql.gz
{
	printf -- '--\n-- PostgreSQL database dump\n--\nCREATE TABLE orders (id int, item text);\nCOPY orders FROM stdin;\n'
	seq 1 50000 | sed 's/$/\ta very fine item/'
	printf '\\.\n-- PostgreSQL database dump complete\n'
} | gzip >"$dump"
ln -s "$(basename "$dump")" dumps/latest.sql.gz
ls -l dumps

say "4. Two seconds after the last byte it is settled, sealed with age and offsite."
for _ in $(seq 600); do
	grep -q delivered agent.log && break
	sleep 0.2
done
grep delivered agent.log || { cat agent.log; exit 1; }

say "5. What lies there:"
"$offsite" list

say "6. The dump is deleted by accident. With the key from the recovery kit it comes back:"
cp "$dump" original
rm "$dump"

"$offsite" restore --kit etc/offsite-recovery-kit.txt -o restored.sql.gz shop
cmp restored.sql.gz original && echo "byte for byte the same"

say "Done. Each backup is one plain age file: age -d opens it too, without offsite. Now try it: offsite init"
