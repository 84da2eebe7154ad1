/**
 * The disks that an operation is about, in order and each once: those that were asked for, else all.
 *
 * @param all how many the instance has; whether the wanted ones are among them is checked when they are looked at
 */
export function selectDisks(all: number, wanted: readonly number[] | undefined): readonly number[] {
  return [...new Set(wanted ?? Array.from({ length: all }, (_, index) => index))].toSorted((a, b) => a - b);
}
