import { GantryError } from '../report/errors.ts';

/** Where in a dump the damage is. */
export interface DamagePlace {
  /** Index of the frame, from 0. */
  readonly frame?: number | undefined;
  /** Stored bytes from the start of the dump. */
  readonly offset: number;
}

/** Damage found by code that does not know its place in the dump: {@link atPlace} adds that. */
export class FormatProblem extends Error {
  override readonly name = 'FormatProblem';
}

/** The problem of an intact frame that is not the one that the frame table lists for its place. */
export const WRONG_FRAME = 'it is not the frame that the frame table lists here';

/** Waits for `work`, and turns its {@link FormatProblem} into the error for this place. */
export async function atPlace<T>(place: DamagePlace, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof FormatProblem) throw dumpDamaged(error.message, place, error.cause);
    throw error;
  }
}

/** Waits for `work`, and names the dump if it is damaged: with several disks, that is the first question. */
export async function inDump<T>(name: string, disk: number, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof GantryError) || error.code !== 'DUMP_DAMAGED' || error.disk !== undefined) throw error;
    const { code, message, hint, details } = error;
    throw new GantryError(code, { message: `${name}: ${message}`, hint, details, disk, cause: error });
  }
}

/** What the user can do about any damaged dump. */
export const DAMAGED_DUMP_HINT =
  'Fetch or copy the dump again, or use another export. zstd -dc and gzip -dc still give the data before the damage.';

/** The error for a damaged dump. */
export function dumpDamaged(problem: string, place?: DamagePlace, cause?: unknown): GantryError {
  return new GantryError('DUMP_DAMAGED', {
    message: `the dump is damaged${place === undefined ? '' : placeText(place)}: ${problem}`,
    hint: DAMAGED_DUMP_HINT,
    cause,
  });
}

function placeText({ frame, offset }: DamagePlace): string {
  return frame === undefined ? ` at stored byte ${offset}` : ` in frame ${frame} at stored byte ${offset}`;
}
