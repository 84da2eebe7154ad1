import type { CommandModule } from './command-line/command.ts';

/** A command and its name, which for a command of a group starts with the group's name. */
export interface CommandEntry {
  readonly name: string;
  /** One line, for the list of commands. */
  readonly summary: string;
  readonly load: () => Promise<{ readonly default: CommandModule }>;
  /** Left out of the list of commands: it is called by other programs. */
  readonly hidden?: true;
}

/** Groups of commands, by the word that their commands start with. */
export const GROUPS: Readonly<Record<string, string>> = {
  snapshots: 'Snapshots: check what an export would take.',
  config: 'Configuration: show where its values come from, check what it names.',
  os: 'OS definitions: list, show and check them.',
  keys: 'Keys of sealed exports: show who can read which, and let others read them, too.',
  store: 'Stores: create one, or check that one keeps the promises of the contract.',
};

/** What `gantry help` lists together: first words of commands, by what they are for. Those that are nowhere here come last. */
export const SECTIONS: Readonly<Record<string, readonly string[]>> = {
  'Export, import, move': ['export', 'run', 'import', 'move', 'receive'],
  'Look at exports': ['list', 'show', 'verify', 'diff', 'status', 'report'],
  'Keep exports': ['copy', 'mirror', 'tag', 'consolidate', 'keys', 'remove', 'undelete', 'prune', 'clean'],
  'Instances and their disks': ['instances', 'describe', 'create', 'rename', 'snapshots', 'os'],
  'Set up': ['config', 'store', 'schema', 'completion', 'version'],
};

/**
 * Every command. A new one takes a file in `commands/`, its work in `runs/` (loaded only for a valid call), a line here, its first word in
 * {@link SECTIONS}, and a section in `docs/reference/commands.md`, whose options `pnpm docs:update` fills in.
 */
export const COMMANDS: readonly CommandEntry[] = [
  { name: 'export', summary: 'Export the disks of an instance into a store.', load: () => import('./commands/export.ts') },
  { name: 'run', summary: 'Run policies: export many instances, copy, verify and prune.', load: () => import('./commands/run.ts') },
  { name: 'import', summary: 'Import an export into the disks of an instance.', load: () => import('./commands/import.ts') },
  {
    name: 'move',
    summary: 'Move the disks of an instance directly to an instance on a peer.',
    load: () => import('./commands/move.ts'),
  },
  { name: 'receive', summary: 'Receive an instance from gantry move on another machine.', load: () => import('./commands/receive.ts') },
  {
    name: 'list',
    summary: 'List the exports in a store; unfinished and damaged ones are marked.',
    load: () => import('./commands/list.ts'),
  },
  { name: 'show', summary: 'Show one export: the instance, its disks and their dumps.', load: () => import('./commands/show.ts') },
  {
    name: 'verify',
    summary: 'Verify one export, or all of a store: names and sizes, digests, or every frame.',
    load: () => import('./commands/verify.ts'),
  },
  {
    name: 'status',
    summary: "Show every policy's instances: their last good exports, and which are late.",
    load: () => import('./commands/status.ts'),
  },
  {
    name: 'report',
    summary: 'Write one HTML page about everything in one or more stores.',
    load: () => import('./commands/report.ts'),
  },
  {
    name: 'copy',
    summary: 'Copy an export from one store to another, and check everything that arrives.',
    load: () => import('./commands/copy.ts'),
  },
  {
    name: 'mirror',
    summary: 'Copy the exports that a store has and another one lacks.',
    load: () => import('./commands/mirror.ts'),
  },
  { name: 'diff', summary: 'Show how the disks of two exports differ.', load: () => import('./commands/diff.ts') },
  { name: 'tag', summary: 'Change the tags and the note of an export.', load: () => import('./commands/tag.ts') },
  {
    name: 'keys check',
    summary: 'Show who can read the sealed exports of a store, and which of them an identity opens.',
    load: () => import('./commands/keys-check.ts'),
  },
  {
    name: 'keys add',
    summary: 'Let more recipients read sealed exports, without writing these anew.',
    load: () => import('./commands/keys-add.ts'),
  },
  { name: 'remove', summary: 'Remove one export permanently.', load: () => import('./commands/remove.ts') },
  {
    name: 'undelete',
    summary: 'Bring back removed exports, in a bucket that keeps versions.',
    load: () => import('./commands/undelete.ts'),
  },
  {
    name: 'consolidate',
    summary: 'Make a plain full export of one that shares frames with others.',
    load: () => import('./commands/consolidate.ts'),
  },
  {
    name: 'prune',
    summary: 'Remove the exports that nothing keeps, and dumps that nothing needs.',
    load: () => import('./commands/prune.ts'),
  },
  {
    name: 'clean',
    summary: 'Remove what killed runs left behind: scripts, snapshots, unfinished exports.',
    load: () => import('./commands/clean.ts'),
  },
  {
    name: 'snapshots check',
    summary: 'Show which snapshot an export would take of each disk, and why not others.',
    load: () => import('./commands/snapshots-check.ts'),
  },
  {
    name: 'create',
    summary: 'Install an instance with the create script of its OS definition.',
    load: () => import('./commands/create.ts'),
  },
  {
    name: 'rename',
    summary: 'Give the installed system its new name, with the rename script.',
    load: () => import('./commands/rename.ts'),
  },
  {
    name: 'instances',
    summary: 'List the instances that a source describes.',
    load: () => import('./commands/instances.ts'),
  },
  {
    name: 'describe',
    summary: 'Print the instance file of an instance of any source.',
    load: () => import('./commands/describe.ts'),
  },
  {
    name: 'os list',
    summary: 'List every OS definition on the search path, including invalid ones.',
    load: () => import('./commands/os-list.ts'),
  },
  {
    name: 'os show',
    summary: 'Show one OS definition: variants, parameters, hypervisors, operations.',
    load: () => import('./commands/os-show.ts'),
  },
  {
    name: 'os check',
    summary: 'Check an OS definition, and parameters against it with its verify script.',
    load: () => import('./commands/os-check.ts'),
  },
  { name: 'store init', summary: 'Create a store. Exports are only written into a store.', load: () => import('./commands/store-init.ts') },
  {
    name: 'store conformance',
    summary: 'Check that a store keeps the promises of the contract.',
    load: () => import('./commands/store-conformance.ts'),
  },
  {
    name: 'config show',
    summary: 'Show the configuration, and where each value comes from.',
    load: () => import('./commands/config-show.ts'),
  },
  {
    name: 'config check',
    summary: 'Check gantry.yaml, and open every store and source of instances in it.',
    load: () => import('./commands/config-check.ts'),
  },
  {
    name: 'schema',
    summary: 'Print the JSON Schema of instance files or gantry.yaml, for editors.',
    load: () => import('./commands/schema.ts'),
  },
  {
    name: 'version',
    summary: 'Show the versions of Gantry, its formats and its libraries.',
    load: () => import('./commands/version.ts'),
  },
  {
    name: 'completion',
    summary: 'Print the script with which a shell completes calls of gantry.',
    load: () => import('./commands/completion.ts'),
  },
  {
    name: 'notify',
    summary: 'Report a run of a policy that was killed or could not read its configuration.',
    load: () => import('./commands/notify.ts'),
    hidden: true,
  },
  {
    name: 'complete',
    summary: 'Print what the last word of a call may become, for the scripts of gantry completion.',
    load: () => import('./commands/complete.ts'),
    hidden: true,
  },
];
