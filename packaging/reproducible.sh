#!/bin/sh
# reproducible.sh: builds the packages of the last commit twice, in clones of different names and in different surroundings, and compares them.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
head=$(git rev-parse HEAD)
[ -z "$(git status --porcelain)" ] || echo "What is not committed is not built here."

build() { # build FOLDER: clones the commit into it and builds all packages
	git clone --quiet --no-checkout . "$1"
	git -C "$1" checkout --quiet "$head"
	unset MAKEFLAGS MAKELEVEL SOURCE_DATE_EPOCH
	make -C "$1" deb rpm >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		exit 1
	}
}
(umask 022 && TZ=UTC LC_ALL=C build "$work/one")
(umask 027 && TZ=Asia/Kathmandu LC_ALL=C.UTF-8 build "$work/another/folder")

sums() { (cd "$1/dist" && sha256sum -- *.deb *.rpm); }
sums "$work/one" >"$work/first"
sums "$work/another/folder" >"$work/second"
diff -u "$work/first" "$work/second" || {
	echo "reproducible.sh: commit $head does not give the same bytes twice; diffoscope says where they differ" >&2
	exit 1
}
cat "$work/first"
