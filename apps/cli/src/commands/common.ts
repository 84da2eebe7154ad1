import { Command, InvalidArgumentError, Option } from 'commander';
import type { CommonOptions, Session, Surroundings } from '../session.ts';

/** Collects an option that may be given several times. */
export const collect = (value: string, previous: readonly string[] | undefined): readonly string[] => [...(previous ?? []), value];

/** Parses a whole number from `minimum` on. */
export const wholeNumber =
  (minimum: number) =>
  (value: string): number => {
    if (!/^\d{1,9}$/.test(value) || Number(value) < minimum)
      throw new InvalidArgumentError(`It must be a whole number, ${minimum} or more.`);
    return Number(value);
  };

const RATE_UNITS: Readonly<Record<string, number>> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3 };

/** Parses a rate such as `500K` or `20M`, in bytes a second. */
function byteRate(value: string): number {
  const [, digits = '', unit = ''] = /^(\d{1,9})([KMG]?)$/i.exec(value) ?? [];
  const rate = Number(digits) * (RATE_UNITS[unit.toUpperCase()] ?? 0);
  if (rate > 0) return rate;
  throw new InvalidArgumentError('It must be a number of bytes a second above 0, such as 500K, 20M or 1G.');
}

/** Collects disk indexes. */
export const collectDisks = (value: string, previous: readonly number[] | undefined): readonly number[] => [
  ...(previous ?? []),
  wholeNumber(0)(value),
];

/** Adds a command with the options that all have. */
export function newCommand(parent: Command, nameAndArguments: string, description: string, examples: readonly string[]): Command {
  return parent
    .command(nameAndArguments)
    .description(description)
    .option('--json', 'print events and the result as JSON, one object a line')
    .option('-q, --quiet', 'print the result, warnings and errors alone')
    .addHelpText('after', `\nExamples:\n${examples.map((example) => `  $ ${example}`).join('\n')}`);
}

/** For commands that keep locks and a journal. */
export function withState(command: Command): Command {
  return command.option('--state-dir <directory>', 'where locks and the journal are kept (or GANTRY_STATE_DIR)');
}

/** For commands that look for OS definitions. */
export function withOsPath(command: Command): Command {
  return command.addOption(
    new Option('--os-path <directory>', 'look for OS definitions here first; may repeat (or GANTRY_OS_PATH)').argParser(collect),
  );
}

/** For commands that move whole dumps. */
export function withRate(command: Command): Command {
  return command.option('--limit-rate <rate>', 'at most so many stored bytes a second, all disks together, such as 500K or 20M', byteRate);
}

/** For commands that run scripts. */
export function withScripts(command: Command): Command {
  return withOsPath(withState(command))
    .option('--force-variant', "accept a variant that the OS definition doesn't list")
    .option('--debug', 'run scripts with DEBUG_LEVEL=1');
}

/** For commands that write disks. */
export function withTargets(command: Command): Command {
  return command.option('--force-in-use', 'write disks although somebody uses them: what is there may be damaged, and so may what comes');
}

/** For commands that read disks which may be in use. */
export function withSnapshots(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--snapshot <provider>',
        'how disks are held still; auto is reflink where it works, else the configured commands, else none',
      )
        .choices(['auto', 'reflink', 'command', 'none'])
        .default('auto'),
    )
    .option('--snapshot-config <file>', 'YAML file with the commands of --snapshot command');
}

/** What a command does. It stands in a file of its own below `actions`, so that a call loads what it needs and nothing else. */
type Action<Options extends CommonOptions> = (session: Session, args: readonly string[], options: Options) => Promise<void>;

/** Loads and runs an action when the command is called; commander has put the arguments before the options. */
export function runs<Options extends CommonOptions>(
  command: Command,
  surroundings: Surroundings,
  load: () => Promise<Action<Options>>,
): void {
  command.action(async () => {
    const [act, { createSession }] = await Promise.all([load(), import('../session.ts')]);
    const options = command.opts<Options>();
    await act(createSession(surroundings, options), command.args, options);
  });
}

/** An argument that commander made sure of. */
export function argument(args: readonly string[], index: number): string {
  const value = args[index];
  if (value === undefined) throw new InvalidArgumentError(`argument ${index + 1} is missing`);
  return value;
}
