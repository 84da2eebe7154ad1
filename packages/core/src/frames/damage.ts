import { GantryError } from '../report/errors.ts';

/** Where in a dump something is wrong. */
export interface DamagePlace {
  /** The frame, from 0. */
  readonly frame?: number | undefined;
  /** Stored bytes from the start of the dump. */
  readonly offset: number;
}

/** What is wrong with the bytes of a dump, by a part that does not know where in the dump it is: see {@link locate}. */
export class FormatProblem extends Error {
  override readonly name = 'FormatProblem';
}

/** The problem of a frame that is sound and not the one that the frame table has for this place. */
export const OTHER_FRAME = 'it is not the frame that was stored there, by the frame table';

/** Passes on what `work` comes to, and turns a {@link FormatProblem} into the error for that place. */
export async function locate<T>(place: DamagePlace, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof FormatProblem) throw dumpDamaged(error.message, place, error.cause);
    throw error;
  }
}

/** Passes on what `work` comes to, and says of which dump it is where a dump is damaged: with several disks, that is the first question. */
export async function inDump<T>(name: string, disk: number, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof GantryError) || error.code !== 'DUMP_DAMAGED' || error.disk !== undefined) throw error;
    const { code, message, hint, details } = error;
    throw new GantryError(code, { message: `${name}: ${message}`, hint, details, disk, cause: error });
  }
}

/** What to do about any damaged dump. */
export const DAMAGED_DUMP_HINT =
  'Fetch or copy the dump again, or use another export. zstd -dc and gzip -dc still give the data before the damage.';

/** The error for a dump that is not what it should be. */
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
