import { Random } from '@gantry/testkit';

/** Random choices that know their seed, to print it. */
export class Dice extends Random {
  readonly seed: number;

  constructor(seed: number) {
    super(seed);
    this.seed = seed;
  }
}

/** The middle one of some numbers. */
export function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0;
}
