#!/usr/bin/env bash
# Installs what the tests need and is missing, through apt-get when allowed to; otherwise
# says exactly what to install. Exits 1 if something is still missing. Named tools are
# looked for alone, as make demo does with those of streamed apps.
set -u

# tool → Debian package
declare -A need=(
  [chromium]=chromium [initdb]=postgresql [Xvfb]=xvfb [zenity]=zenity [xprop]=x11-utils
  [Xvnc]=tigervnc-standalone-server [openbox]=openbox [xterm]=xterm [xauth]=xauth [import]=imagemagick [faketime]=faketime [xdotool]=xdotool
  [bwrap]=bubblewrap [slirp4netns]=slirp4netns [nft]=nftables
)

if [ $# -gt 0 ]; then
  for t in "${!need[@]}"; do [[ " $* " == *" $t "* ]] || unset "need[$t]"; done
fi

find_tool() {
  command -v "$1" >/dev/null 2>&1 && return 0
  # Debian keeps these, and the server programs of PostgreSQL, out of the PATH of users.
  [ -x "/usr/sbin/$1" ] || compgen -G "/usr/lib/postgresql/*/bin/$1" >/dev/null
}

missing() {
  for t in "${!need[@]}"; do find_tool "$t" || echo "${need[$t]}"; done | sort -u
}

packages=$(missing)
[ -z "$packages" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  echo "Installing: $(echo $packages)"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq && apt-get install -y -qq --no-install-recommends $packages fonts-dejavu-core >/dev/null
  packages=$(missing)
  [ -z "$packages" ] && exit 0
fi
echo "Tools are missing here. Install them with:" >&2
echo "  apt-get install $(echo $packages)" >&2
exit 1
