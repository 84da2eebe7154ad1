import type { Configuration, OpenContext } from '@gantry/config';
import { loadConfiguration } from '@gantry/config';
import type { RunProblem } from '@gantry/policies';
import type { Output } from './output.ts';

/** What `main` passes to every command. */
export interface Context {
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  /** Aborted by SIGINT, SIGTERM and SIGHUP. */
  readonly signal: AbortSignal;
  readonly stdin: NodeJS.ReadableStream;
  readonly output: Output;
  /** Sets the exit status of a command that succeeded, but found something its caller should know. */
  readonly exitWith: (exitCode: number) => void;
}

/** For opening sources of instances. */
export function openContext({ env, cwd, signal, output }: Context): OpenContext {
  return { env, cwd, signal, warn: output.warn };
}

/** @param file what `--config` gave @throws GantryError `CONFIGURATION_*` */
export async function configurationOf({ env, cwd, signal }: Context, file: string | undefined): Promise<Configuration> {
  return await loadConfiguration({ env, cwd, signal, file });
}

/** What could not be found out, as lines. */
export function describeProblems(problems: readonly RunProblem[]): readonly string[] {
  return problems.map(({ what, message, code }) => `${what}: ${message} [${code}]`);
}
