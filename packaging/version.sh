#!/bin/sh
# What packages call the version that `git describe --tags --always --dirty` gives: a word that begins with a digit, has no hyphen, and that
# dpkg and rpm order as it was made. Without a tag there is no number yet, and the time of the commit orders.
#
#     version.sh v1.2.0            1.2.0
#     version.sh v1.2.0-rc1        1.2.0~rc1             (before 1.2.0)
#     version.sh v1.2.0-5-gabc1234 1.2.0+5.gabc1234      (after 1.2.0, before 1.2.1)
#     version.sh abc1234           0~20261122030001.abc1234
#     version.sh v1.2.0-dirty      1.2.0+dirty
set -eu
described=$1
time=$(date -u -d "@${SOURCE_DATE_EPOCH:?the time of the commit, in seconds since 1970}" +%Y%m%d%H%M%S)

dirty=
case $described in *-dirty) dirty=+dirty described=${described%-dirty} ;; esac
case $described in
v[0-9]*) version=$(echo "${described#v}" | sed -E 's/-([0-9]+)-(g[0-9a-f]+)$/+\1.\2/; s/-/~/g') ;;
*) version=0~$time.$described ;;
esac
echo "$version$dirty"
