import type { DescribedInstance } from '@gantry/core';
import { describeInstance, formatInstanceFile } from '@gantry/core';
import { describeRun } from '../output/run-state.ts';
import type { Session } from '../session.ts';

/** Runs `gantry describe`. */
export async function run(
  session: Session,
  [address]: readonly [string],
  { withPrivate }: { readonly withPrivate: true | undefined },
): Promise<void> {
  const described = await session.describeAnywhere(address);
  const includePrivate = withPrivate === true;
  const { source, run, guarded, native, guest, disksOn } = described;
  const instance = describeInstance(described.instance, { includePrivate });
  const files = native.map(({ name, bytes, secret }) => ({ name, bytes: bytes.length, secret }));
  const json = {
    operation: 'describe',
    source,
    instance,
    run,
    guarded,
    native: files,
    ...(guest === undefined ? {} : { guest }),
    ...(disksOn === undefined ? {} : { disksOn }),
  };
  session.output.result(json, printFile(described, includePrivate));
}

/** What an instance file cannot say stands in front of it, as comments. */
function printFile({ instance, source, run }: DescribedInstance, includePrivate: boolean): readonly string[] {
  const left = includePrivate ? [] : Object.keys(instance.osparams_private);
  return [
    `# ${instance.name} of ${source}: ${run.state === 'unknown' ? 'unknown whether it runs' : describeRun(run)}`,
    ...(left.length === 0 ? [] : [`# private OS parameters are left out: ${left.join(', ')} (--with-private)`]),
    ...formatInstanceFile(instance, { includePrivate }).trimEnd().split('\n'),
  ];
}
