import type { VerifyBudget, VerifyDepth, VerifyResult, VerifyStoreResult } from '@gantry/core';
import { ERROR_EXIT_CODES, GantryError, verifyExport, verifyStore } from '@gantry/core';
import { formatBytes } from '../output/format.ts';
import type { Session } from '../session.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { PARALLEL, RATE, STATE } from '../command-line/options.ts';

type Options = OptionValues<typeof STATE & typeof RATE & typeof PARALLEL> & {
  readonly depth: VerifyDepth | undefined;
  readonly budget: VerifyBudget | undefined;
};

/** Runs `gantry verify`. */
export async function run(session: Session, [address, reference]: readonly [string, string | undefined], options: Options): Promise<void> {
  const { parallel, depth, budget } = options;
  if (reference !== undefined && budget !== undefined) {
    throw new GantryError('USAGE', {
      message: '--budget is for all exports of a store, and one export is named',
      hint: 'Leave out the export or the budget.',
    });
  }
  await using store = await session.open(address, 'read');
  const { signal, onEvent, stateDirectory } = session.operation;
  const request = { store, signal, onEvent, parallel, depth };
  if (reference !== undefined) {
    const result = await verifyExport({ ...request, export: reference, remember: { stateDirectory } });
    session.output.result({ operation: 'verify', ...result }, describeOne(result));
    return;
  }
  const result = await verifyStore({ ...request, budget, stateDirectory });
  if (result.damaged > 0) session.exitWith(ERROR_EXIT_CODES.DUMP_DAMAGED);
  else if (result.unreadable > 0) session.exitWith(ERROR_EXIT_CODES.STORE_FAILED);
  session.output.result({ operation: 'verify', store: store.address, ...result }, describeAll(result));
}

function describeOne({ reference, depth, checksums, plainBytes }: VerifyResult): string {
  if (depth === 'present') return `${reference}: every file is there with its size`;
  if (!checksums) return `${reference}: readable, but it has no checksums (${formatBytes(plainBytes)})`;
  if (depth === 'stored') return `${reference}: every digest is correct`;
  return `${reference}: every frame and digest is correct (${formatBytes(plainBytes)})`;
}

const FOUND: Readonly<Record<VerifyDepth, string>> = {
  present: 'every file is there with its size',
  stored: 'every digest is correct',
  frames: 'every frame and digest is correct',
};

function describeAll(result: VerifyStoreResult): readonly string[] {
  const { depth, exports, damaged, unreadable, left, unfinished, readBytes, storedBytes } = result;
  const problems = exports
    .filter((each) => each.result !== 'sound')
    .map((each) => `${each.reference} is ${each.result}: ${each.reason ?? ''} [${each.code ?? ''}]`);
  const bad = [...(damaged === 0 ? [] : [`${damaged} damaged`]), ...(unreadable === 0 ? [] : [`${unreadable} unreadable`])];
  const found = bad.length === 0 ? FOUND[depth] : bad.join(', ');
  const read = depth === 'present' ? '' : ` (${formatBytes(readBytes)} read of ${formatBytes(storedBytes)})`;
  return [
    ...problems,
    `${countOf(exports.length)} verified${read}: ${exports.length === 0 ? 'nothing to verify' : found}`,
    ...(left === 0 ? [] : [`${countOf(left)} left for later runs, ${describeOldest(result)}`]),
    ...(unfinished === 0 ? [] : [`${countOf(unfinished)} unfinished: gantry list shows them`]),
  ];
}

function countOf(exports: number): string {
  return `${exports} export${exports === 1 ? '' : 's'}`;
}

function describeOldest({ oldestLeft }: VerifyStoreResult): string {
  return typeof oldestLeft === 'string' ? `the oldest of them verified ${oldestLeft.slice(0, 10)}` : 'some of them never verified';
}
