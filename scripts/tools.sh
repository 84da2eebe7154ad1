# Sourced by scripts: installs pnpm, Node 24 and all packages into node_modules, for which it needs only npm; runs tests.

export TURBO_TELEMETRY_DISABLED=1 DO_NOT_TRACK=1
PNPM_VERSION=$(sed -n 's/.*"packageManager": "pnpm@\([0-9.]*\)".*/\1/p' package.json)

say() { printf '\n== %s\n' "$*"; }

die() {
  printf 'gantry: %s\n' "$*" >&2
  exit 1
}

install_packages() {
  command -v npm >/dev/null 2>&1 || die 'cannot install packages: npm is missing. On Debian: apt-get install nodejs npm, or Node from NodeSource (version 20 or later).'
  say 'Packages, and Node 24 (kept inside node_modules)'
  npx --yes "pnpm@$PNPM_VERSION" install --frozen-lockfile
  PATH=$PWD/node_modules/.bin:$PATH
  export PATH
  printf 'node %s, pnpm %s\n' "$(node --version)" "$(pnpm --version)"
}

build_packages() {
  say 'Build'
  turbo run build --output-logs=errors-only
}

# apt_packages NAME…: installs missing packages if it can (as root on Debian); otherwise says what is missing and returns 1.
apt_packages() {
  missing=
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
  done
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    printf 'gantry: missing packages, which only root on Debian can install:%s\n' "$missing" >&2
    return 1
  fi
  say "Debian packages:$missing"
  apt-get update -qq
  # shellcheck disable=SC2086 # a list of words
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# run_tests FILE…: in a mount namespace whose mounts are shared, as they are where systemd runs: what a test unmounts disappears in the
# namespaces of libvirtd, machines and clusters of other tests too. A copy there would keep its file system mounted, and its image in use.
run_tests() {
  unshare --mount --propagation shared vitest run "$@"
}

# run_tests_named TITLE FILE: those with that in their titles. Where none has it (any more), vitest passes; this does not.
run_tests_named() {
  results=$(mktemp)
  status=0
  run_tests "$2" -t "$1" --reporter=default --reporter=json "--outputFile.json=$results" || status=$?
  [ "$status" != 0 ] || grep -q '"numPassedTests":[1-9]' "$results" || status=none
  rm -f "$results"
  [ "$status" != none ] || die "no test of $2 ran that is named '$1'"
  return "$status"
}
