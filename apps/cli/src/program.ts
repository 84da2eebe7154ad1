import { readFileSync } from 'node:fs';
import { Command } from 'commander';
import { addCleanCommand } from './commands/clean.ts';
import { addCreateCommand } from './commands/create.ts';
import { addExportCommand } from './commands/export.ts';
import { addImportCommand } from './commands/import.ts';
import { addListCommand } from './commands/list.ts';
import { addMoveCommand } from './commands/move.ts';
import { addOsCommands } from './commands/os.ts';
import { addReceiveCommand } from './commands/receive.ts';
import { addRemoveCommand } from './commands/remove.ts';
import { addRenameCommand } from './commands/rename.ts';
import { addSchemaCommand } from './commands/schema.ts';
import { addShowCommand } from './commands/show.ts';
import { addStoreCommands } from './commands/store.ts';
import { addVerifyCommand } from './commands/verify.ts';
import type { Surroundings } from './session.ts';

/** The whole command line. It throws a CommanderError instead of ending the process. */
export function createProgram(surroundings: Surroundings): Command {
  const program = new Command('gantry')
    .description('Lifts the disks of virtual machine instances out of one place and sets them down in another.')
    .version(readVersion())
    .exitOverride()
    .showSuggestionAfterError()
    .showHelpAfterError('(gantry help shows the commands; gantry help COMMAND shows one, with examples)');
  program.addHelpText(
    'after',
    `
A STORE is a directory, or a URL such as file:///srv/exports.
A PEER is ssh://[user@]host[:port], with gantry installed there.
An export in a store is INSTANCE (the newest complete one) or INSTANCE@EXPORT-ID.

Exit codes: 0 done; 1 internal; 2 usage; 3 instance file; 4 OS definition; 5 disk or snapshot; 6 script; 7 damaged data;
8 store; 9 no such export; 10 busy; 11 this machine; 12 peer; 13 move undecided; 128+N ended by signal N.`,
  );
  for (const add of [
    addExportCommand,
    addImportCommand,
    addMoveCommand,
    addReceiveCommand,
    addListCommand,
    addShowCommand,
    addVerifyCommand,
    addRemoveCommand,
    addCleanCommand,
    addCreateCommand,
    addRenameCommand,
    addOsCommands,
    addStoreCommands,
    addSchemaCommand,
  ]) {
    add(program, surroundings);
  }
  return program;
}

function readVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : 'unknown';
}
