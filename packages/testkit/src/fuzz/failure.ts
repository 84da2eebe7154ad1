import { inspect } from 'node:util';

/** What a target failed with. */
export interface Failure {
  readonly input: Uint8Array;
  /** The same for failures of the same kind. */
  readonly key: string;
  /** The error as a developer wants to see it. */
  readonly text: string;
}

export function failureOf(input: Uint8Array, error: unknown): Failure {
  const text = error instanceof Error ? (error.stack ?? error.message) : inspect(error);
  const place = text.split('\n').find((line) => /^\s+at .*\/(?:packages|apps)\//.test(line)) ?? '';
  const name = error instanceof Error ? `${error.name} ${error.message}` : typeof error;
  return {
    input,
    key: `${name.replaceAll(/\d+|".*"|'.*'/gs, '_').slice(0, 80)} ${place.trim()}`,
    text: inspect(error, { depth: 3 }).slice(0, 4000),
  };
}
