#!/bin/sh
# Writes Gantry with a Node of its own into a new directory, which works wherever it is moved to: stage.sh DIRECTORY
#   bin/gantry         starts it, as bin/gantry-fleet the fleet
#   lib/gantry         the command, its libraries, OS definitions for Ganeti, and Node
#   lib/gantry/fleet   gantry-fleet, and PostgreSQL in WebAssembly for the queue of one machine
#   share              manual pages, completions, and licenses of everything inside
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
tree=$1
PATH=$here/../node_modules/.bin:$PATH

node=$("$here/fetch-node.sh" "$(sed -n 's/^ *"node": "\([0-9.]*\)".*/\1/p' "$here/../package.json")")
mkdir -p "$tree/bin" "$tree/lib" "$tree/share/doc/gantry"
start() {
  sed "s,PROGRAM,$2," "$here/launcher.sh" >"$tree/bin/$1"
  chmod 755 "$tree/bin/$1"
}
start gantry bin/gantry.cjs
start gantry-fleet fleet/bin/gantry-fleet.cjs
node --conditions=@gantry/source "$here/../apps/cli/build/standalone.ts" "$tree/lib/gantry"
node --conditions=@gantry/source "$here/../apps/fleet/build/standalone.ts" "$tree/lib/gantry/fleet"
# Manual pages, and completions where each shell looks for them.
mkdir "$tree/share/man"
node --conditions=@gantry/source "$here/../apps/cli/build/man.ts" "$tree/man"
for page in "$tree"/man/*; do install -D -m 644 -t "$tree/share/man/man${page##*.}" "$page"; done
rm -r "$tree/man"
complete() {
  mkdir -p "$tree/share/${2%/*}"
  node "$tree/lib/gantry/bin/gantry.cjs" completion "$1" >"$tree/share/$2"
}
complete bash bash-completion/completions/gantry
complete zsh zsh/vendor-completions/_gantry
complete fish fish/vendor_completions.d/gantry.fish
# They are started by the Node beside them, and not by another one from PATH.
find "$tree/lib/gantry" -name '*.cjs' -exec sed -i '1{/^#!/d}' {} + -exec chmod 644 {} +
# Without the table of symbols, which only a debugger reads.
strip --strip-unneeded -o "$tree/lib/gantry/node" "$node/bin/node"
chmod 755 "$tree/lib/gantry/node"
mv "$tree/lib/gantry/dist/THIRD-PARTY-LICENSES.txt" "$tree/share/doc/gantry/third-party.txt"
mv "$tree/lib/gantry/fleet/dist/THIRD-PARTY-LICENSES.txt" "$tree/share/doc/gantry/third-party-fleet.txt"
cp "$node/LICENSE" "$tree/share/doc/gantry/node.txt"
cp "$here/../LICENSE" "$tree/share/doc/gantry/copyright"
chmod -R u=rwX,go=rX "$tree"
