#!/bin/sh
# check.sh FOLDER: checks the packages in a folder: lintian and rpmlint have nothing to say, and those of both kinds bring the same files.
set -eu
folder=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# What lintian is told to leave alone has its reason above it.
for overrides in packaging/*/lintian-overrides; do
	awk '/^#/ { why = 1; next } $2 != tag && !why { exit 1 } { tag = $2; why = 0 }' "$overrides" || {
		echo "check.sh: $overrides has an override without a reason" >&2
		exit 1
	}
done
lintian --allow-root --fail-on error,warning --tag-display-limit 0 "$folder"/*.deb
rpmlint --strict --config packaging/rpmlint.toml "$folder"/*.rpm

# listed prints what is in a folder, with mode, owner and content, under the names that it has in a Debian package.
listed() {
	(cd "$1" && find . ! -type d ! -path './var/lib/rpm/*' -printf '%m %u:%g %p ' -exec sh -c 'sha256sum <"$1"' - {} \;) |
		sed -e 's| ./usr/share/zsh/site-functions/| ./usr/share/zsh/vendor-completions/|' |
		grep -v -e ' ./usr/share/doc/' -e ' ./usr/share/licenses/' -e ' ./usr/share/lintian/' | sort -k3
}

# Without their scripts: this machine is not theirs. It need not have what they depend on, either.
for deb in "$folder"/*.deb; do
	name=$(basename "$deb" | cut -d_ -f1)
	rpm=$(echo "$folder/$name"-[0-9]*.rpm)
	mkdir -p "$work/$name.deb" "$work/$name.rpm"
	dpkg-deb --extract "$deb" "$work/$name.deb"
	rpm --root "$work/$name.rpm" --dbpath /var/lib/rpm --nodeps --noscripts --nosignature --install "$(realpath "$rpm")" 2>"$work/said" || {
		cat "$work/said" >&2
		exit 1
	}
	listed "$work/$name.deb" >"$work/deb"
	listed "$work/$name.rpm" >"$work/rpm"
	diff -u "$work/deb" "$work/rpm" || {
		echo "check.sh: $deb and $rpm do not bring the same" >&2
		exit 1
	}
	for program in "$work/$name.deb"/usr/bin/*; do
		for brought in man/man1/NAME.1.gz bash-completion/completions/NAME zsh/vendor-completions/_NAME fish/vendor_completions.d/NAME.fish; do
			brought=$(echo "$brought" | sed "s|NAME|$(basename "$program")|")
			[ -s "$work/$name.deb/usr/share/$brought" ] || {
				echo "check.sh: $deb brings no /usr/share/$brought" >&2
				exit 1
			}
		done
	done
	# What operators edit is kept: conffiles there, %config(noreplace) here.
	dpkg-deb --ctrl-tarfile "$deb" | tar -xO ./conffiles | sort >"$work/deb"
	rpm --query --package --nosignature --queryformat '[%{FILEFLAGS:fflags} %{FILENAMES}\n]' "$rpm" 2>/dev/null | sed -n 's/^cn //p' | sort >"$work/rpm"
	diff -u "$work/deb" "$work/rpm" || {
		echo "check.sh: $deb and $rpm do not keep the same configuration" >&2
		exit 1
	}
done
echo "The packages in $folder are as they should be."
