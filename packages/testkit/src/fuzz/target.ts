/**
 * What is fuzzed: one reader of input that others may have made. In `packages/PACKAGE/test/fuzz/NAME.fuzz.ts`. What it makes in the directory
 * for temporary files is removed after the run.
 */
export interface FuzzTarget {
  /** Inputs from which fuzzing starts: valid ones, of every kind. */
  readonly seeds: () => readonly (string | Uint8Array)[] | Promise<readonly (string | Uint8Array)[]>;
  /** Words of the format, which mutations put in. */
  readonly words?: readonly string[];
  /** The longest usual input, bytes; a few are far longer. Default: 4096. */
  readonly maxBytes?: number;
  /** It gets one of this number of inputs, where these are counted: for a reader that is far slower than others, such as a program. Default: 1. */
  readonly oneOf?: number;
  /**
   * Reads an input, and checks what must hold for all of them: it is refused with the documented error, or gives a value that survives its
   * round trip.
   *
   * @throws anything, if that does not hold
   */
  readonly run: (input: Uint8Array) => void | Promise<void>;
}

/** A target whose inputs are text: what is not UTF-8 gets the replacement character. */
export function textTarget(target: Omit<FuzzTarget, 'run'> & { readonly run: (text: string) => void | Promise<void> }): FuzzTarget {
  return { ...target, run: (input) => target.run(Buffer.from(input.buffer, input.byteOffset, input.byteLength).toString('utf8')) };
}

/** More than a terminal shows; a message that repeats its input would have all of it. */
const MAX_MESSAGE_LENGTH = 8000;

/** Passes over an error that is a refusal, with a message of a length that can be shown; what is not one is thrown again. */
export function assertRefusal(error: unknown, isRefusal: (error: unknown) => boolean): void {
  if (!isRefusal(error)) throw error;
  const { message } = error instanceof Error ? error : { message: '' };
  if (message.length > MAX_MESSAGE_LENGTH) throw new Error(`a message of ${message.length} characters: ${message.slice(0, 100)}`);
}
