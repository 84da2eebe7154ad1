import type { InstanceDescription, InstanceSource, InstanceSummary } from '../inventory.ts';
import { isInventoryError } from '../inventory-error.ts';
import type { InventoryErrorCode } from '../inventory-error.ts';
import { ConformanceFailure } from './failure.ts';

/** Opens the same source each time it is called. */
export type OpenSource = () => Promise<InstanceSource>;

export interface InventoryConformanceOptions {
  /** A name that more than one instance of the source has, where the source can have such names. */
  readonly ambiguous?: string | undefined;
  /** Texts that appear in the secrets of the instances: neither lists, addresses nor errors may hold them. */
  readonly secrets?: readonly string[] | undefined;
  /** After how long a cancelled call counts as hanging, in ms; 10 000 where absent. */
  readonly patienceMs?: number | undefined;
}

/** An open source with what is in it, as it said itself. */
export interface Fixture {
  readonly source: InstanceSource;
  readonly summaries: readonly InstanceSummary[];
  readonly ambiguous: string | undefined;
  readonly secrets: readonly string[];
  readonly patienceMs: number;
}

/** One promise and how it is put to the test. */
export interface Check {
  readonly title: string;
  readonly check: (fixture: Fixture) => Promise<void>;
}

/** @throws ConformanceFailure unless `condition` holds */
export function expect(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new ConformanceFailure(otherwise);
}

export function names(summaries: readonly InstanceSummary[]): string {
  return summaries
    .map(({ name }) => name)
    .toSorted()
    .join(', ');
}

/** Describes every instance of the source. */
export async function describeAll({ source, summaries }: Fixture): Promise<readonly InstanceDescription[]> {
  const all: InstanceDescription[] = [];
  for (const { name } of summaries) all.push(await source.describe(name));
  return all;
}

/** What `call` rejects with. @throws ConformanceFailure where it resolves, or ends after more than `patienceMs` */
export async function rejectionOf(call: () => Promise<unknown>, what: string, patienceMs: number): Promise<unknown> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new ConformanceFailure(`${what} did not end within ${patienceMs} ms`)), patienceMs);
  });
  try {
    await Promise.race([call(), late]);
  } catch (error) {
    if (error instanceof ConformanceFailure) throw error;
    return error;
  } finally {
    clearTimeout(timer);
  }
  throw new ConformanceFailure(`${what} was not refused`);
}

/** Runs `call`, which must reject with an `InventoryError` of that code, without a secret in it */
export async function expectCode(
  call: () => Promise<unknown>,
  code: InventoryErrorCode,
  what: string,
  { patienceMs, secrets }: Pick<Fixture, 'patienceMs' | 'secrets'>,
): Promise<void> {
  const error = await rejectionOf(call, what, patienceMs);
  const got = error instanceof Error ? `${error.name} ${'code' in error ? String(error.code) : ''} (${error.message})` : String(error);
  expect(isInventoryError(error, code), `${what}: InventoryError ${code} was expected, got ${got}`);
  const said = [error.message, error.hint ?? '', ...error.details].join('\n');
  expect(!secrets.some((secret) => said.includes(secret)), `${what}: the error holds a secret`);
}
