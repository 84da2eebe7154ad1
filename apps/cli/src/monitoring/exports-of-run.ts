import type { PolicyRun } from '@gantry/policies';

/** What became of one instance in one store. */
export interface ExportOfRun {
  readonly instance: string;
  /** As the policy names it; absent where the run did not get as far. */
  readonly store?: string | undefined;
  readonly outcome: 'exported' | 'copied' | 'present' | 'failed' | 'left';
  readonly reference?: string | undefined;
  readonly plainBytes?: number | undefined;
  readonly storedBytes?: number | undefined;
  readonly durationMs?: number | undefined;
  readonly code?: string | undefined;
  readonly reason?: string | undefined;
  /** What can be done about it. */
  readonly hint?: string | undefined;
}

type InstanceOfRun = PolicyRun['instances'][number];

/** The exports of a run, one by one. */
export function exportsOf({ instances }: PolicyRun): readonly ExportOfRun[] {
  return instances.flatMap(exportsOfInstance);
}

function exportsOfInstance(instance: InstanceOfRun): readonly ExportOfRun[] {
  const { name, state, stores, reference, problems } = instance;
  const [problem] = problems;
  const why = { code: problem?.code, reason: problem?.message, hint: problem?.hint };
  if (stores.length > 0) {
    // What kept the instance from all stores is with the instance.
    const more = { exported: figuresOf(instance), failed: why, copied: {}, present: {}, left: {} };
    return stores.map((each) => {
      const hint = problems.find(({ message }) => message === each.reason)?.hint;
      return Object.assign({ instance: name }, more[each.outcome], each, hint === undefined ? {} : { hint });
    });
  }
  if (state === 'exported' || state === 'present') return [{ instance: name, outcome: state, reference }];
  return [state === 'failed' ? { instance: name, outcome: 'failed', ...why } : { instance: name, outcome: 'left' }];
}

function figuresOf({
  started,
  ended,
  plainBytes,
  storedBytes,
}: InstanceOfRun): Pick<ExportOfRun, 'plainBytes' | 'storedBytes' | 'durationMs'> {
  const durationMs = started === undefined || ended === undefined ? undefined : Date.parse(ended) - Date.parse(started);
  return { plainBytes, storedBytes, durationMs };
}

/** What else failed, or was found damaged. */
export function problemsOf({ problems, instances }: PolicyRun): PolicyRun['problems'] {
  return [
    ...problems,
    ...instances.flatMap((instance) => {
      const said = new Set(exportsOfInstance(instance).map(({ reason }) => reason));
      return instance.problems.filter(({ message }) => !said.has(message));
    }),
  ];
}
