import { dirname } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import type { GanetiNode } from '@gantry/testkit';
import { execa } from 'execa';
import type { Outcome } from '../workbench.ts';
import { MAIN } from '../workbench.ts';

export const CHECKOUT: string = fileURLToPath(new URL('../../../..', import.meta.url)).replace(/\/$/, '');

/** What nodes must see so that the command can run in them. */
export const SHARES: readonly string[] = [CHECKOUT, dirname(dirname(MAIN))];

/** Runs the command in a node, as root there. It creates stores and overwrites disks without a question. */
export async function gantryIn(node: GanetiNode, ...args: readonly string[]): Promise<Outcome> {
  const variables = ['GANTRY_CREATE_STORE=1', 'GANTRY_YES=1', 'GANTRY_STATE_DIR=/var/lib/gantry'];
  return runIn(node, 'env', ...variables, process.execPath, MAIN, ...args);
}

/** Runs any program in a node that may fail. */
export async function runIn(node: GanetiNode, ...line: readonly [file: string, ...args: readonly string[]]): Promise<Outcome> {
  const [file, ...args] = [...node.enter, ...line];
  const { exitCode, stdout, stderr } = await execa(file, args, { stdin: 'ignore', reject: false });
  return { exitCode, stdout, stderr };
}

/** @returns the outcome @throws with its stderr if the exit code is not 0 */
export function succeeded(outcome: Outcome): Outcome {
  if (outcome.exitCode !== 0) throw new Error(`exit code ${outcome.exitCode}: ${outcome.stdout}${outcome.stderr}`);
  return outcome;
}
