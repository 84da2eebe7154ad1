#!/usr/bin/env node
// In syntax that every Node understands: an older one would fail later, with a stack trace.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 22 || (major === 22 && minor < 18)) {
  process.stderr.write(
    `gantry-fleet: cannot run on Node ${process.versions.node}: Gantry needs 22.18 or later [PLATFORM]\n  Install a later Node, or run gantry-fleet with one.\n`,
  );
  process.exitCode = 11;
} else {
  void import('../dist/main.js');
}
