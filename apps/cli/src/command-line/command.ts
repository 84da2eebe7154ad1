import type { CliContext, CommonOptions, Session } from '../session.ts';
import type { OptionSpec } from './options.ts';

/** `<name>` must be given, `[name]` may be, `[name...]` stands at the end and may be given several times. */
export type ArgumentSpec = `<${string}>` | `[${string}]`;

type OptionSpecs = Readonly<Record<string, OptionSpec<unknown>>>;

type ArgumentValues<A extends readonly ArgumentSpec[]> = {
  readonly [I in keyof A]: A[I] extends `<${string}>` ? string : A[I] extends `[${string}...]` ? readonly string[] : string | undefined;
};

/** The values of options, by their names. */
export type OptionValues<S extends OptionSpecs> = { readonly [K in keyof S]: S[K] extends OptionSpec<infer T> ? T : never };

/** The contents of a command's file: its options, its help and what it does. */
interface CommandDefinition<A extends readonly ArgumentSpec[], S extends OptionSpecs> {
  /** More detail than the registry's summary: one or a few sentences. */
  readonly description?: string;
  readonly arguments: A;
  /** By the name under which `run` gets the value. */
  readonly options: S;
  /** Complete command lines. */
  readonly examples: readonly string[];
  /** Does the work. Help and invalid calls load the file too, so it imports expensive modules in `run`. */
  readonly run: (session: Session, args: ArgumentValues<A>, options: OptionValues<S>) => Promise<void>;
}

/** A command as the command line sees it. */
export interface CommandModule {
  readonly description: string | undefined;
  readonly arguments: readonly ArgumentSpec[];
  readonly options: OptionSpecs;
  readonly examples: readonly string[];
  /** Runs with what the parser read: one string for each given argument, and the options by name. */
  readonly run: (context: CliContext, read: ParsedCommand) => Promise<void>;
}

/** A command line that the parser has checked against the command's arguments and options. */
export interface ParsedCommand {
  readonly args: readonly string[];
  readonly opts: <T extends Record<string, unknown>>() => T;
}

export function defineCommand<const A extends readonly ArgumentSpec[], S extends OptionSpecs>(
  definition: CommandDefinition<A, S>,
): CommandModule {
  return {
    description: definition.description,
    arguments: definition.arguments,
    options: definition.options,
    examples: definition.examples,
    run: async (context, { args, opts }) => {
      const { createSession } = await import('../session.ts');
      const session = createSession(context, opts<CommonOptions & Record<string, unknown>>());
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the parser has checked their number
      const values = withRest(definition.arguments, args) as ArgumentValues<A>;
      await definition.run(session, values, opts<OptionValues<S>>());
    },
  };
}

/** What the last argument of a command took, where it may be given several times, as one list. */
function withRest(specs: readonly ArgumentSpec[], args: readonly string[]): unknown {
  if (specs.at(-1)?.endsWith('...]') !== true) return args;
  const single = specs.length - 1;
  return [...Array.from({ length: single }, (_, index) => args[index]), args.slice(single)];
}
