#!/bin/sh
# changelog.sh VERSION: prints Debian's changelog of a version in nfpm's form, from CHANGELOG.md where that says something of it.
set -eu
version=$1
date=$(date -u -d "@${SOURCE_DATE_EPOCH:-$(date +%s)}" +%Y-%m-%dT%H:%M:%SZ)
cat <<END
- semver: $version
  date: $date
  packager: Glidepath maintainers <maintainers@glidepath.invalid>
  deb:
    urgency: medium
    distributions: [unstable]
  changes:
END
notes=""
if [ -e CHANGELOG.md ]; then
	# A point may go on in further lines. Debian's changelogs are at most 80 columns wide.
	notes=$(awk -v v="$version" '
		function flush(  n, i, words, line, text) {
			n = split(point, words, " ")
			for (i = 1; i <= n; i++) {
				if (line != "" && length(line) + length(words[i]) > 72) {
					text = text line "\\n    "
					line = ""
				}
				line = line (line == "" ? "" : " ") words[i]
			}
			if (n > 0) print "    - note: \"" text line "\""
			point = ""
		}
		/^## / { flush(); on = index($0, v) > 0; next }
		on && /^- / { flush(); sub(/^- /, ""); gsub(/\\/, "\\\\"); gsub(/"/, "\\\""); point = $0; next }
		on && /^  / && point != "" { gsub(/\\/, "\\\\"); gsub(/"/, "\\\""); point = point $0; next }
		{ flush() }
		END { flush() }' CHANGELOG.md)
fi
printf '%s\n' "${notes:-    - note: \"See CHANGELOG.md at https://github.com/glidepath/glidepath\"}"
