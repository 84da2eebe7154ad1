import type { Fixture } from './fixture.ts';

/** One promise and its test, which gets a fixture of its own. */
export interface Check {
  readonly title: string;
  readonly check: (fixture: Fixture) => Promise<void>;
}
