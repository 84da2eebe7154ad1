#!/usr/bin/env node
// In words that any Node understands: an older one would fail somewhere in the middle, with a stack.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(
    `gantry: this is Node ${process.versions.node}, and Gantry needs 22.18 or later [PLATFORM]\n  Install a later Node, or run gantry with one.\n`,
  );
  process.exitCode = 11;
} else {
  require('../dist/start.cjs');
}
