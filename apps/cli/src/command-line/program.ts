import { readFileSync } from 'node:fs';
import process from 'node:process';
import { Command, Option } from 'commander';
import type { CommandEntry } from '../commands.ts';
import { COMMANDS, GROUPS } from '../commands.ts';
import type { CliContext } from '../session.ts';
import type { CommandModule } from './command.ts';
import { COMMON_OPTIONS } from './common-options.ts';
import { describeAddressesAndExitCodes, describeExamples, HELP_WIDTH } from './help-text.ts';
import { ParseFailure } from './parse-failure.ts';
import { bySection, OTHER_SECTION, sectionOf } from './sections.ts';

/**
 * The complete command line. Only commands that `args` name are loaded with their options; of the others it has the names.
 * Parsing rejects with a {@link ParseFailure} instead of ending the process.
 */
export async function createProgram(args: readonly string[], context: CliContext): Promise<Command> {
  const program = prepare(new Command('gantry'))
    .description('Exports, restores and moves the disks of virtual machine instances.')
    .version(readVersion())
    .helpCommand(false)
    .addHelpText('after', describeAddressesAndExitCodes);
  for (const { flags, description } of COMMON_OPTIONS) program.option(flags, description);
  const asked = namedCommands(args);
  for (const entry of bySection(COMMANDS)) {
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

function addCommand(program: Command, { name, summary, hidden }: CommandEntry): Command {
  const [word = '', inGroup] = name.split(' ');
  const section = `${sectionOf(word)}:`;
  if (inGroup === undefined)
    return prepare(program.command(word, { hidden: hidden === true }))
      .description(summary)
      .helpGroup(section);
  const group =
    program.commands.find((command) => command.name() === word) ??
    prepare(program.command(word))
      .description(GROUPS[word] ?? '')
      .helpGroup(section)
      .helpCommand(false);
  return prepare(group.command(inGroup)).description(summary);
}

/** Settings that every command of the tree needs, because commander hands down few of them. */
function prepare(command: Command): Command {
  return command
    .exitOverride((error) => {
      throw new ParseFailure(error, command);
    })
    .configureOutput({
      writeErr: () => undefined,
      outputError: () => undefined,
      getOutHelpWidth: () => Math.min(HELP_WIDTH, process.stdout.columns || HELP_WIDTH),
    })
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
    if (spec.negatable === true) command.addOption(new Option(spec.flags.replace('--', '--no-')).hideHelp());
  }
  command.addHelpText('after', () => describeExamples(module.examples));
  command.action(async () => {
    const { config: configFile } = command.optsWithGlobals<{ readonly config?: string }>();
    await module.run({ ...context, configFile }, { args: command.args, opts: () => command.opts() });
  });
}

function addHelpCommand(program: Command): void {
  const help = prepare(program.command('help [command...]'))
    .description('Show a command with its options and examples.')
    .helpGroup(`${OTHER_SECTION}:`);
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
