import type { InstanceDescription, Parameters } from '@gantry/core/inventory';
import { describeDisks, guardedPlaces } from './disks.ts';
import { describeNics } from './nics.ts';
import type { DetailsAnswer, SummaryAnswer } from './answers.ts';
import { pythonTexts } from './python-text.ts';
import { describedState } from './run-state.ts';

export interface Answers {
  readonly summary: SummaryAnswer;
  readonly details: DetailsAnswer;
  /** The details as they came. */
  readonly raw: unknown;
  /** Of its hypervisor, for the whole cluster: the global ones are in no instance, and its scripts get them too. */
  readonly clusterHypervisorParameters: Readonly<Record<string, unknown>>;
  readonly privateParameters: Parameters;
  /** Host name of this machine. */
  readonly here: string;
}

/** Puts together what Ganeti says of an instance; who controls the guest has to be looked for on this machine. */
export function describeInstance(answers: Answers): Omit<InstanceDescription, 'guest'> {
  const { summary, details, raw, clusterHypervisorParameters: global, privateParameters, here } = answers;
  return {
    instance: {
      name: details.name,
      uuid: details.uuid,
      // An instance without an OS definition: its disks are exported as they are, as Ganeti itself does.
      os: details.os === '' ? 'raw' : details.os,
      hypervisor: details.hypervisor,
      primary_node: details.pnode,
      secondary_nodes: details.snodes,
      disk_template: details.disk_template,
      tags: (summary.tags ?? []).toSorted(),
      disks: describeDisks(details),
      nics: describeNics(details),
      osparams: pythonTexts(details.os_actual),
      osparams_private: privateParameters,
      beparams: pythonTexts(details.be_actual),
      hvparams: pythonTexts({ ...details.hv_actual, ...missing(global, details.hv_actual) }),
    },
    run: describedState(summary, details),
    guarded: guardedPlaces(details, here),
    disksOn: SHARED.has(details.disk_template) ? undefined : details.pnode,
    native: [{ name: 'ganeti.json', secret: false, bytes: Buffer.from(`${JSON.stringify(raw, undefined, 2)}\n`) }],
  };
}

/** Templates whose disks are where they are said to be on every node. */
const SHARED: ReadonlySet<string> = new Set(['diskless', 'sharedfile']);

function missing(all: Readonly<Record<string, unknown>>, given: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(all).filter(([name]) => !Object.hasOwn(given, name)));
}
