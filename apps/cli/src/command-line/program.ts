import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import type { CommandEntry } from '../commands.ts';
import { COMMANDS, GROUPS } from '../commands.ts';
import type { CliContext } from '../session.ts';
import type { CommandModule } from './command.ts';
import { ParseFailure } from './parse-failure.ts';

const ADDRESSES_AND_EXIT_CODES = `
An INSTANCE is an instance file, SCHEME:NAME or SCHEME://host/NAME.
A STORE is a directory, or a URL such as file:///srv/exports.
A PEER is ssh://[user@]host[:port], with gantry installed there.
An EXPORT is INSTANCE (the newest complete one) or INSTANCE@EXPORT-ID.

Exit codes: 0 done; 1 internal; 2 usage; 3 instance; 4 OS definition;
5 disk or snapshot; 6 script; 7 damaged data; 8 store; 9 not found;
10 busy; 11 this machine; 12 peer; 13 move undecided; 14 not confirmed;
128+N ended by signal N.`;

/**
 * The complete command line. Only commands that `args` name are loaded with their options; of the others it has the names.
 * Parsing rejects with a {@link ParseFailure} instead of ending the process.
 */
export async function createProgram(args: readonly string[], context: CliContext): Promise<Command> {
  const program = prepare(new Command('gantry'))
    .description('Exports, restores and moves the disks of virtual machine instances.')
    .version(readVersion())
    .option('--json', 'print events and the result as JSON, one object per line')
    .option('--config <file>', 'read only this configuration file (or GANTRY_CONFIG)')
    .option('-q, --quiet', 'print only the result, warnings and errors')
    .helpCommand(false)
    .addHelpText('after', ADDRESSES_AND_EXIT_CODES);
  const asked = namedCommands(args);
  for (const entry of COMMANDS) {
    const command = addCommand(program, entry);
    if (asked.includes(entry)) configure(command, (await entry.load()).default, context);
  }
  addHelpCommand(program);
  return program;
}

/** The commands that the words of a call may name. Of the options before the name, only --config takes a value. */
function namedCommands(args: readonly string[]): readonly CommandEntry[] {
  const words = args.filter((arg, index) => !arg.startsWith('-') && args[index - 1] !== '--config');
  if (words[0] === 'help') words.shift();
  const [first = '', second = ''] = words;
  return COMMANDS.filter(({ name }) => name === first || name === `${first} ${second}`);
}

function addCommand(program: Command, { name, summary }: CommandEntry): Command {
  const [word = '', inGroup] = name.split(' ');
  if (inGroup === undefined) return prepare(program.command(word)).description(summary);
  const group =
    program.commands.find((command) => command.name() === word) ??
    prepare(program.command(word))
      .description(GROUPS[word] ?? '')
      .helpCommand(false);
  return prepare(group.command(inGroup)).description(summary);
}

/** Settings that every command of the tree needs, because commander hands down few of them. */
function prepare(command: Command): Command {
  return command
    .exitOverride((error) => {
      throw new ParseFailure(error, command);
    })
    .configureOutput({ writeErr: () => undefined, outputError: () => undefined })
    .configureHelp({ showGlobalOptions: true })
    .showSuggestionAfterError(false);
}

function configure(command: Command, module: CommandModule, context: CliContext): void {
  if (module.description !== undefined) command.description(module.description);
  for (const argument of module.arguments) command.argument(argument);
  for (const [name, spec] of Object.entries(module.options)) {
    const option = new Option(spec.flags, spec.description);
    if (option.attributeName() !== name) throw new TypeError(`${spec.flags} is not the option ${name}`);
    if (spec.required === true) option.makeOptionMandatory();
    if (spec.choices !== undefined) option.choices(spec.choices);
    if (spec.default !== undefined) option.default(spec.default);
    if (spec.parse !== undefined) option.argParser((value, previous: unknown) => spec.parse?.(value, previous));
    command.addOption(option);
  }
  command.addHelpText('after', `\nExamples:\n${module.examples.map((example) => `  $ ${example}`).join('\n')}`);
  command.action(async () => {
    const { config: configFile } = command.optsWithGlobals<{ readonly config?: string }>();
    await module.run({ ...context, configFile }, { args: command.args, opts: () => command.opts() });
  });
}

function addHelpCommand(program: Command): void {
  const help = prepare(program.command('help [command...]')).description('Show a command with its options and examples.');
  help.action((words: readonly string[]) => {
    let shown = program;
    for (const word of words) {
      const next = shown.commands.find((command) => command.name() === word);
      if (next === undefined) throw ParseFailure.unknownCommand(shown, word);
      shown = next;
    }
    shown.outputHelp();
  });
}

function readVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : 'unknown';
}
