#!/bin/bash
# Builds all that is released of this tree: static programs, .deb and .rpm, bills of materials, and the sums of all of them.
#
#     release.sh DESCRIBED OUT        DESCRIBED: what `git describe` says; OUT: a directory, which is made anew
#
# The same tree gives the same bytes, whoever builds it, when and where. From the environment: SOURCE_DATE_EPOCH (the time of the commit),
# NFPM and MD2MAN (the programs), ARCHES (amd64 and arm64 unless set), PACKAGERS (deb and rpm unless set).
set -euo pipefail
umask 022
export LC_ALL=C TZ=UTC SOURCE_DATE_EPOCH
cd "$(dirname "$0")/.."

described=$1 out=$2 arches=${ARCHES:-amd64 arm64}
version=$(packaging/version.sh "$described")
rm -rf "$out"
mkdir -p "$out"
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
root=$stage/root

build() { # ARCH FILE
	CGO_ENABLED=0 GOOS=linux GOARCH=$1 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$described" -o "$2" ./cmd/offsite
}

put() { # DIRECTORY FILES...: into the package, for everybody to read
	local dir=$root/$1
	shift
	install -d "$dir"
	install -m 0644 "$@" "$dir/"
}

# offsite-format(7) is docs/format.md. A table of two columns becomes a list of terms: no terminal is wide enough for its lines.
format_page() {
	echo "% \"OFFSITE-FORMAT\" \"7\" \"$(date -u -d "@$SOURCE_DATE_EPOCH" +%F)\" \"offsite $described\" \"offsite\""
	echo "# NAME"
	echo "offsite-format - what lies on a target"
	echo
	echo "# DESCRIPTION"
	sed -E -e '/^# /d' -e 's/^##/#/' -e '/^\|[-|]+$/d' -e '/^\| [a-z]+ \| \|$/d' -e 's/^\| ([^|]+) \| ([^|]+) \|$/\n\1\n: \2/' docs/format.md
}

# Debian's tools read one of their own form.
debian_changelog() {
	echo "offsite ($version) unstable; urgency=medium"
	echo
	echo "  * What has changed: /usr/share/doc/offsite/CHANGELOG.md.gz"
	echo
	echo " -- The offsite maintainers <maintainers@offsite.invalid>  $(date -u -R -d "@$SOURCE_DATE_EPOCH")"
}

# What the package has beside the program, which writes most of it.
documents() {
	local host program doc=usr/share/doc/offsite
	host=$(go env GOHOSTARCH)
	program=$out/offsite_${version}_linux_$host
	if ! [ -e "$program" ]; then
		program=$stage/offsite
		build "$host" "$program"
	fi
	"$program" docs "$stage/docs"
	format_page | "$MD2MAN" >"$stage/docs/offsite-format.7"
	for section in 1 5 7; do
		put "usr/share/man/man$section" "$stage"/docs/*."$section"
		gzip -9n "$root/usr/share/man/man$section"/*
	done
	put usr/share/bash-completion/completions "$stage/docs/offsite.bash"
	mv "$root"/usr/share/bash-completion/completions/offsite{.bash,}
	put usr/share/fish/vendor_completions.d "$stage/docs/offsite.fish"
	put $doc README.md
	(cd docs && find . -type f -print0 | xargs -0 -I{} install -D -m 0644 {} "$root/$doc/{}")
	gzip -9n <CHANGELOG.md >"$root/$doc/CHANGELOG.md.gz"
	debian_changelog | gzip -9n >"$stage/docs/changelog.gz"
	"$stage/inventory" copyright >"$root/$doc/copyright"
	put $doc/examples configs/example.yaml configs/alerts.yaml configs/dashboard.json
	mv "$root/$doc/examples/"{example,offsite}.yaml
}

# The units, and what systemd is to make for them.
units() {
	put usr/lib/systemd/system systemd/*.{service,socket,timer,path}
	put usr/lib/sysusers.d systemd/sysusers.d/*.conf
	put usr/lib/tmpfiles.d systemd/tmpfiles.d/*.conf
}

package() { # ARCH
	local program=$out/offsite_${version}_linux_$1
	"$stage/inventory" sbom "$program" >"$program.cdx.json"
	install -D -m 0755 "$program" "$root/usr/bin/offsite"
	export STAGE=$stage ARCH=$1 VERSION=$version
	local packager
	for packager in ${PACKAGERS:-deb rpm}; do
		"$NFPM" package --config packaging/nfpm.yaml --packager "$packager" --target "$out/$(file_name "$packager" "$1")" >&2
	done
}

file_name() { # PACKAGER ARCH
	case $1-$2 in
	deb-*) echo "offsite_${version}_$2.deb" ;;
	rpm-amd64) echo "offsite-$version-1.x86_64.rpm" ;;
	rpm-arm64) echo "offsite-$version-1.aarch64.rpm" ;;
	esac
}

for arch in $arches; do build "$arch" "$out/offsite_${version}_linux_$arch"; done
go build -o "$stage/inventory" ./packaging/inventory
documents
units
for arch in $arches; do package "$arch"; done
(cd "$out" && sha256sum -- * >SHA256SUMS)
