import { parseBytes as bytesOf, parseRate as rateOf } from '@gantry/config/quantities';
import { InvalidArgumentError } from 'commander';

/** One option of a command; `T` is what the command gets. */
export interface OptionSpec<T> {
  /** As commander reads them, such as `-q, --quiet` or `--level <n>`. */
  readonly flags: string;
  readonly description: string;
  readonly choices?: readonly string[];
  readonly required?: boolean;
  /** The variable that has the value where the option is not given. */
  readonly env?: string;
  /** Of an option without a value: `--no-…` says the opposite. */
  readonly negatable?: true;
  readonly default?: T;
  /** `previous` is the value from an earlier use of the same option. @throws InvalidArgumentError */
  parse?(value: string, previous: T | undefined): T;
}

/** An option without a value. */
export function flag(flags: string, description: string): OptionSpec<true | undefined> {
  return { flags, description };
}

/** An option that may also come from a variable of the environment. */
export function orVariable<T>(env: string, spec: OptionSpec<T>): OptionSpec<T> {
  return { ...spec, env, description: `${spec.description} (or ${env})` };
}

/** An option without a value that `--no-…` takes back where gantry.yaml or the environment says it. */
export function negatableFlag(env: string, flags: `--${string}`, description: string): OptionSpec<boolean | undefined> {
  return { flags, negatable: true, env, description: `${description} (or ${env}=1; --no-${flags.slice(2)}: not)` };
}

/** An option whose value is any text. */
export function text(flags: string, description: string): OptionSpec<string | undefined> {
  return { flags, description };
}

/** An option whose value is any text, and which must be given. */
export function requiredText(flags: string, description: string): OptionSpec<string> {
  return { flags, description, required: true };
}

/** An option that may be given several times. */
export function texts(flags: string, description: string): OptionSpec<readonly string[] | undefined> {
  return { flags, description: `${description}; may repeat`, parse: (value, previous) => [...(previous ?? []), value] };
}

/** An option that takes one of some words. */
export function choice<const T extends string>(flags: string, description: string, choices: readonly T[]): OptionSpec<T | undefined> {
  return { flags, description, choices };
}

/** An option whose value is a whole number, `minimum` or more. */
export function wholeNumber(flags: string, description: string, minimum = 1): OptionSpec<number | undefined> {
  return { flags, description, parse: (value) => parseWholeNumber(value, minimum) };
}

/** An option that may be given several times, with a whole number each, 0 or more. */
export function wholeNumbers(flags: string, description: string): OptionSpec<readonly number[] | undefined> {
  return {
    flags,
    description: `${description}; may repeat`,
    parse: (value, previous) => [...(previous ?? []), parseWholeNumber(value, 0)],
  };
}

function parseWholeNumber(value: string, minimum: number): number {
  if (/^\d{1,9}$/.test(value) && Number(value) >= minimum) return Number(value);
  throw new InvalidArgumentError(`It must be a whole number, ${minimum} or more.`);
}

/** An option whose value is a number of bytes, `minimum` or more. */
export function byteCount(flags: string, description: string, minimum: string): OptionSpec<number | undefined> {
  return {
    flags,
    description,
    parse: (value) => {
      const bytes = bytesOf(value);
      if (bytes !== undefined && bytes >= (bytesOf(minimum) ?? 0)) return bytes;
      throw new InvalidArgumentError(`It must be a size such as 500M or 2G, ${minimum} or more.`);
    },
  };
}

/** Parses a rate such as `500K` or `20M`, in bytes per second. */
function parseRate(value: string): number {
  const rate = rateOf(value);
  if (rate !== undefined) return rate;
  throw new InvalidArgumentError('It must be a number of bytes per second above 0, such as 500K, 20M or 1G.');
}

/** For commands that use locks and a journal. */
export const STATE: { readonly stateDir: OptionSpec<string | undefined> } = {
  stateDir: text('--state-dir <directory>', 'where locks and the journal are kept (or GANTRY_STATE_DIR)'),
};

/** For commands that search for OS definitions. */
export const OS_PATH: { readonly osPath: OptionSpec<readonly string[] | undefined> } = {
  osPath: texts('--os-path <directory>', 'search this directory for OS definitions first (or GANTRY_OS_PATH)'),
};

/** For commands that run scripts. */
export const SCRIPTS: typeof STATE &
  typeof OS_PATH & { readonly forceVariant: OptionSpec<true | undefined>; readonly debug: OptionSpec<true | undefined> } = {
  ...STATE,
  ...OS_PATH,
  forceVariant: flag('--force-variant', "accept a variant that the OS definition doesn't list"),
  debug: flag('--debug', 'run scripts with DEBUG_LEVEL=1'),
};

/** For commands to which OS parameters can be given. */
export const OS_PARAMETERS: { readonly parameter: OptionSpec<Readonly<Record<string, string>> | undefined> } = {
  parameter: {
    flags: '-O, --parameter <name=value>',
    description: 'an OS parameter; may repeat',
    parse: (text, previous) => {
      const at = text.indexOf('=');
      if (at < 1) throw new InvalidArgumentError('It must be name=value.');
      return { ...previous, [text.slice(0, at)]: text.slice(at + 1) };
    },
  },
};

/** For commands that write disks. */
export const TARGETS: { readonly forceInUse: OptionSpec<true | undefined> } = {
  forceInUse: flag('--force-in-use', 'write disks even if they are in use: both the old and the new data may be damaged'),
};

/** For commands that overwrite the disks of an instance with data that may be another instance's. */
export const CONSENT: typeof TARGETS & { readonly yes: OptionSpec<true | undefined>; readonly dryRun: OptionSpec<true | undefined> } = {
  ...TARGETS,
  yes: flag('-y, --yes', 'overwrite without asking, even the disks of another instance than the exported one (or GANTRY_YES=1)'),
  dryRun: flag('--dry-run', 'show what would be overwritten and with what, then stop'),
};

/** For commands that transfer dumps. */
export const RATE: { readonly limitRate: OptionSpec<number | undefined> } = {
  limitRate: orVariable('GANTRY_LIMIT_RATE', {
    flags: '--limit-rate <rate>',
    description: 'maximum stored bytes per second for all disks together, such as 500K or 20M',
    parse: parseRate,
  }),
};

/** For commands that can read what is in sealed exports. */
export const IDENTITY: { readonly identity: OptionSpec<readonly string[] | undefined> } = {
  identity: orVariable('GANTRY_IDENTITY', texts('--identity <file>', 'open sealed exports with the identities of age in this file')),
};

/** For commands that can read what is in sealed exports, also in those that are encrypted with a passphrase. */
export const UNSEAL: typeof IDENTITY & { readonly passphrase: OptionSpec<true | undefined> } = {
  ...IDENTITY,
  passphrase: flag('--passphrase', 'open sealed exports with a passphrase, which is asked for on the terminal'),
};

/** For commands that work on several disks in parallel. */
export const PARALLEL: { readonly parallel: OptionSpec<number | undefined> } = {
  parallel: orVariable('GANTRY_PARALLEL', wholeNumber('--parallel <n>', 'how many disks to process at once (default 4)')),
};

/** For commands that can take what a policy of gantry.yaml says. */
export const POLICY: { readonly policy: OptionSpec<string | undefined> } = {
  policy: text('--policy <policy>', 'what no other option says, as this policy of gantry.yaml says it'),
};

/** For commands that write exports. */
export const CREATE_STORE: { readonly createStore: OptionSpec<true | undefined> } = {
  createStore: flag('--create-store', 'create the store if there is none yet (or GANTRY_CREATE_STORE=1)'),
};

/** For commands after which an instance can be made known where instances are described. */
export const DEFINE: {
  readonly define: OptionSpec<string | undefined>;
  readonly start: OptionSpec<true | undefined>;
  readonly newIdentity: OptionSpec<true | undefined>;
} = {
  define: text('--define <source>', 'make the target known in this source of instances, such as libvirt:, when its disks are complete'),
  start: flag('--start', 'start the instance that was defined'),
  newIdentity: flag('--new-identity', 'define it with a new UUID and new MAC addresses, because the original may go on'),
};
