#!/bin/sh
# Restores a backup of offsite without offsite: sh restore.sh PLACE HOST SERIES IDENTITY-FILE [BEGINNING-OF-THE-NAME] >dump
# PLACE is a directory, sftp://user@server[:port]/path, or https://server/bucket[/prefix] with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
# (and AWS_REGION) in the environment. HOST and SERIES are as they are written there, such as sub%2Fbig. The newest backup is taken, or the
# newest whose name begins so: 20261122. It needs room for one backup in $TMPDIR. age proves that nothing was changed since it was sealed,
# but not who sealed it: docs/format.md says how to check the signature, and docs/vectors/check.py does it.
set -eu
[ $# -ge 4 ] || { sed -n '2,6s/^# //p' "$0" >&2; exit 2; }
place=${1%/} dir=$2/$3 identity=$4 wanted=${5-}
tmp=$(mktemp -d) && trap 'rm -rf "$tmp"' EXIT && trap 'exit 1' HUP INT TERM
server=$(printf %s "$place" | sed -nE 's|^(sftp://[^/]*/?).*|\1|p; s|^(https?://[^/]*/[^/]*/?).*|\1|p')
path=${place#"$server"} && path=${path:+$path/}$dir

s3() { # gets a URL. The keys come by standard input, where no list of processes shows them.
	printf 'user = "%s:%s"\n' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY" | curl -sSf -K - -H "x-amz-content-sha256: UNSIGNED-PAYLOAD" \
		--aws-sigv4 "aws:amz:${AWS_REGION:-us-east-1}:s3" "$@"
}
url() { printf %s "$1" | sed 's/%/%25/g; s/+/%2B/g; s/=/%3D/g; s/@/%40/g; s/,/%2C/g'"${2-}"; }
list() { # the names of what lies in the directory
	case $place in
	sftp://*) echo "ls -1 \"$path\"" | sftp -q -o BatchMode=no -b - "$server" ;;
	http*) after= && while s3 -o "$tmp/page" "${server%/}?list-type=2&prefix=$(url "$path/" '; s|/|%2F|g')$after" || exit 1; do
		tr '<' '\n' <"$tmp/page" | sed -n 's/^Key>//p' >"$tmp/keys" && cat "$tmp/keys"
		[ -s "$tmp/keys" ] || break
		after="&start-after=$(url "$(tail -n 1 "$tmp/keys")" '; s|/|%2F|g')"
	done ;;
	*) ls "$path" ;;
	esac
}
fetch() { # NAME FILE
	case $place in
	sftp://*) echo "get \"$path/$1\" \"$2\"" | sftp -q -o BatchMode=no -b - "$server" >&2 ;;
	http*) s3 -o "$2" "${server%/}/$(url "$path/$1")" ;;
	*) cp "$path/$1" "$2" ;;
	esac
}

list >"$tmp/list"
name=$(sed -n 's|.*/||; s/\.manifest$//p' "$tmp/list" | sort | awk -v w="$wanted" 'w == "" || index($0, w) == 1' | tail -n 1)
[ -n "$name" ] || { echo "there is no backup $wanted... in $place, $dir" >&2; exit 4; }
fetch "$name.manifest" "$tmp/manifest" && fetch "$name" "$tmp/age"
if tr -d ' \t\r\n' <"$tmp/manifest" | grep '"health":"suspect"' >/dev/null; then
	sed -nE 's/.*("health_reason"[[:space:]]*:[[:space:]]*"([^"\\]|\\.)*").*/\1/p' "$tmp/manifest" >&2
	echo "WARNING: it is not whole. Name an older one as the fifth argument, such as 20261122." >&2
fi
echo "$dir/$name" >&2
age -d -i "$identity" "$tmp/age"
