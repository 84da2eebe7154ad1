/** One change that takes away, or turns around, one guard of data. */
export interface Mutant {
  /** What the guard does, in a few words; each has others. */
  readonly guard: string;
  /** The file that is changed, from the root of the repository. */
  readonly file: string;
  /** What is there, exactly once. */
  readonly from: string;
  readonly to: string;
  /** The test files, one of which must fail. */
  readonly tests: readonly string[];
  /** Only tests with this in their titles are run, where the others take long. A regular expression. */
  readonly only?: string;
}

/** The guards of one directory: each is `[guard, file, from, to, tests]`, with the names of files below `directory` and of tests in `tests`. */
export function mutantsOf<Test extends string>(
  directory: string,
  tests: Readonly<Record<Test, string>>,
  list: readonly (readonly [guard: string, file: string, from: string, to: string, test: Test, only?: string])[],
): readonly Mutant[] {
  return list.map(([guard, file, from, to, test, only]) => ({
    guard,
    file: `${directory}/${file}`,
    from,
    to,
    tests: [tests[test]],
    ...(only === undefined ? {} : { only }),
  }));
}

/** @throws Error if what is to be changed is not there exactly once */
export function mutate(text: string, { file, from, to }: Mutant): string {
  const [before, after, ...more] = text.split(from);
  if (before === undefined || after === undefined || more.length > 0) {
    throw new Error(`${file} has what is to be changed ${after === undefined ? 'nowhere' : 'more than once'}: ${from}`);
  }
  return `${before}${to}${after}`;
}
