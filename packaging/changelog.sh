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
	notes=$(awk -v v="$version" '/^## /{on = index($0, v) > 0} on && /^- /{sub(/^- /, ""); gsub(/"/, "\\\""); print "    - note: \"" $0 "\""}' CHANGELOG.md)
fi
echo "${notes:-    - note: \"Version $version; see https://github.com/glidepath/glidepath/blob/main/CHANGELOG.md\"}"
