import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal, textTarget } from '@gantry/testkit';

/** What is to be known of a small document that Gantry wrote itself, perhaps long ago, or that somebody else wrote in its place. */
export interface RecordFormat<T> {
  readonly seeds: () => readonly string[];
  readonly words?: readonly string[];
  /** Undefined for one that is not valid. */
  readonly parse: (text: string) => T | undefined;
  /** Errors other than these must not come. */
  readonly isRefusal?: (error: unknown) => boolean;
  /** Looks at a value as its readers do. */
  readonly use?: (value: T) => void;
}

/** A target that reads documents, and reads what it got again. */
export function recordTarget<T>({ seeds, words = [], parse, isRefusal = () => false, use }: RecordFormat<T>): FuzzTarget {
  return textTarget({
    seeds,
    words: [...words, '2026-11-23T08:15:00.000Z', '+275760-09-13T00:00:00.001Z', '0000-01-01T00:00:00Z'],
    run(text) {
      let value;
      try {
        value = parse(text);
      } catch (error) {
        return assertRefusal(error, isRefusal);
      }
      if (value !== undefined) use?.(value);
    },
  });
}
