import { isDeepStrictEqual } from 'node:util';
import type { Configuration, ExportSettings, Policy } from '@gantry/config';
import { comparableUrl, exportSettings, namedStore } from '@gantry/config';
import type { RetentionPolicy } from '@gantry/core';
import { refusingStores, selectInstances } from '@gantry/policies';
import type { Session } from '../session.ts';

/** What is valid, and yet hardly meant. */
export interface Warned {
  /** Its place in gantry.yaml. */
  readonly what: string;
  readonly result: 'warning';
  readonly found: string;
}

/** Looks for policies that promise nothing, whose exports will be refused, or that undo what another one keeps. Sources that cannot be asked say so elsewhere. */
export async function warningsOf(session: Session, configuration: Configuration): Promise<readonly Warned[]> {
  const policies = [...configuration.policies.values()];
  const refused = await Promise.all(policies.map((policy) => refusedOf(configuration, policy)));
  return [...policies.flatMap(withoutAge), ...refused.flat(), ...(await conflictsOf(session, configuration))];
}

function withoutAge({ name, maxAgeMs }: Policy): readonly Warned[] {
  const found = 'absent: nothing says when an export is late, and gantry status --check ends with UNKNOWN';
  return maxAgeMs === undefined ? [{ what: `policies.${name}.max-age`, result: 'warning', found }] : [];
}

/** Exports that one of the stores of a policy will refuse, because of its signatures. */
async function refusedOf(configuration: Configuration, policy: Policy): Promise<readonly Warned[]> {
  const settingsIn = (store: string | undefined): ExportSettings => exportSettings(configuration, { policy: policy.name, store });
  const settingsOf = (named: string): Promise<ExportSettings> => Promise.resolve(settingsIn(named));
  const refusing = await refusingStores({ policy, settings: settingsIn(policy.stores[0]), settingsOf });
  return refusing.map(({ at, why }) => ({ what: `policies.${policy.name}.${at}`, result: 'warning', found: why }));
}

/** What a policy keeps in one of its stores. */
interface Retained {
  readonly policy: Policy;
  /** Its place in gantry.yaml. */
  readonly what: string;
  readonly retention: RetentionPolicy;
  /** Comparable. */
  readonly url: string;
}

function retainedBy(configuration: Configuration, policy: Policy): readonly Retained[] {
  const at = `policies.${policy.name}`;
  const urlOf = (named: string): string => comparableUrl(namedStore(configuration, named)?.url ?? named);
  const { retention, stores, copies } = policy;
  return [
    ...(retention === undefined ? [] : stores.map((store) => ({ policy, what: `${at}.retention`, retention, url: urlOf(store) }))),
    ...copies.flatMap(({ to, retention: own }, index) =>
      own === undefined ? [] : [{ policy, what: `${at}.copies[${index}].retention`, retention: own, url: urlOf(to) }],
    ),
  ];
}

/** Instances of which two policies keep different exports in one store: each removes what only the other keeps. */
async function conflictsOf(session: Session, configuration: Configuration): Promise<readonly Warned[]> {
  const all = [...configuration.policies.values()].flatMap((policy) => retainedBy(configuration, policy));
  const pairs = all.flatMap((first, index) => all.slice(index + 1).map((second) => [first, second] as const));
  const warned: Warned[] = [];
  for (const [first, second] of pairs) {
    if (first.policy === second.policy || first.url !== second.url || isDeepStrictEqual(first.retention, second.retention)) continue;
    const names = await namesOf(session, configuration, first.policy);
    const both = (await namesOf(session, configuration, second.policy)).filter((name) => names.includes(name));
    const [name] = both;
    if (name === undefined) continue;
    const which = both.length === 1 ? name : `${name} and ${both.length - 1} more`;
    const found = `differs from ${first.what} for ${which} in ${first.url}: each removes what only the other keeps`;
    warned.push({ what: second.what, result: 'warning', found });
  }
  return warned;
}

async function namesOf({ signal, env, cwd, warn }: Session, configuration: Configuration, policy: Policy): Promise<readonly string[]> {
  await using selection = await selectInstances(policy.instances, { configuration, signal, env, cwd, warn });
  return selection.instances.map(({ name }) => name);
}
