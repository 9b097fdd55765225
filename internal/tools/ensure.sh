#!/bin/sh
# ensure.sh go|vm|host|servers|packages: makes sure that what a target needs is there. As root on Debian it installs the missing packages
# and lists them; elsewhere it says what to install. It changes nothing when nothing is missing.
set -eu

missing=""
units=""
need() { # need COMMAND PACKAGE [UNIT of a server that the package brings]
	command -v "$1" >/dev/null 2>&1 || [ -x "/usr/sbin/$1" ] || {
		missing="$missing $2"
		units="$units${3:+${units:+ }$3}"
	}
}

# What adds Debian's backports, if Go is to come from there.
list=/etc/apt/sources.list.d/glidepath-backports.list

# backports adds them, from the mirror that this machine uses already.
backports() {
	# shellcheck disable=SC1091
	. /etc/os-release
	site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' "Codename: $VERSION_CODENAME" 'Component: main' | head -n1)
	[ -e "$list" ] || echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $site $VERSION_CODENAME-backports main" >"$list"
}

for what in "$@"; do
	case $what in
	go)
		need git git
		need gcc gcc
		command -v go >/dev/null 2>&1 || [ -x /usr/lib/go-1.23/bin/go ] || missing="$missing golang-1.23-go"
		[ -e /etc/ssl/certs/ca-certificates.crt ] || missing="$missing ca-certificates"
		;;
	vm)
		need qemu-system-x86_64 qemu-system-x86
		need qemu-img qemu-utils
		need mmdebstrap mmdebstrap
		need mke2fs e2fsprogs
		need ip iproute2
		need zstd zstd
		need nft nftables
		;;
	host) # what the tests of the agent's packages use on this machine
		need rsync rsync
		need setfacl acl
		need setfattr attr
		need ip iproute2
		;;
	servers) # what the tests of the clients of testenv/load talk to on this machine
		need redis-server redis-server redis-server.service
		ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || need initdb postgresql postgresql.service
		;;
	packages) # what checks the packages and what they bring for monitoring
		need lintian lintian
		need rpmlint rpmlint
		need rpm rpm
		need promtool prometheus prometheus.service
		;;
	*)
		echo "ensure.sh: unknown set $what (go, vm, host, servers, packages)" >&2
		exit 2
		;;
	esac
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
	echo "Missing:$missing (Debian's package names). Install them with this system's package manager and run make again." >&2
	exit 1
fi
if [ "$(id -u)" != 0 ]; then
	echo "Missing:$missing. Install them as root: apt-get install$missing" >&2
	exit 1
fi
export DEBIAN_FRONTEND=noninteractive
case $missing in
*golang-1.23-go*)
	echo "Installing Debian packages (they stay installed):$missing, from the backports in $list, which stays, too"
	backports
	;;
*) echo "Installing Debian packages (they stay installed):$missing" ;;
esac
apt-get update -qq
# A server that a test uses must not start on this machine, now or when it boots the next time.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
	trap 'rm -f "$policy"' EXIT INT TERM
fi
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null
if [ -n "$units" ] && command -v systemctl >/dev/null 2>&1; then
	# shellcheck disable=SC2086
	systemctl disable --quiet $units || echo "These would start when this machine boots: systemctl disable $units" >&2
fi
