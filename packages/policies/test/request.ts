import { writeFile } from 'node:fs/promises';
import process from 'node:process';
import type { Policy } from '@gantry/config';
import { exportSettings, loadConfiguration, namedStore, openStore } from '@gantry/config';
import type { TemporaryDirectory } from '@gantry/testkit';
import { makeRandomFile } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { alterStore } from '@gantry/transport';
import type { PolicyRunRequest } from '../src/run-request.ts';

export interface SampleRequest {
  readonly home: TemporaryDirectory;
  /** Fields of the policy, in YAML; it has one instance, `web1`, and the stores `first` and `second`. */
  readonly policy: string;
  /** Settings of the second store, in YAML. */
  readonly secondStore?: string | undefined;
  readonly signal: AbortSignal;
  /** What the second store does differently. */
  readonly second?: ((store: Store) => Partial<Store>) | undefined;
}

/** A run of a policy with an instance of one small disk. */
export async function sampleRequest({
  home,
  policy: fields,
  signal,
  secondStore = '',
  second = () => ({}),
}: SampleRequest): Promise<PolicyRunRequest> {
  await makeRandomFile(home.file('web1.img'), 64 * 1024, 'web1');
  await writeFile(home.file('web1.yaml'), 'name: web1\nos: raw\nhypervisor: kvm\ndisks: [{ path: web1.img }]\n');
  const file = home.file('gantry.yaml');
  const stores = `stores: { first: { url: ./first }, second: { url: ./second, ${secondStore} } }`;
  await writeFile(file, `${stores}\npolicies: { nightly: { instances: ${home.file('web1.yaml')}, ${fields} } }\n`);
  const context = { env: process.env, cwd: home.path, signal, warn: () => undefined };
  const configuration = await loadConfiguration({ ...context, file });
  const policy: Policy | undefined = configuration.policies.get('nightly');
  if (policy === undefined) throw new Error('the policy is there');
  return {
    configuration,
    policy,
    context,
    settings: {},
    settingsOf: (named) => Promise.resolve(exportSettings(configuration, { policy: policy.name, store: named })),
    signal,
    stateDirectory: home.file('state'),
    createStore: true,
    openStore: async (named, access) => {
      const store = await openStore(namedStore(configuration, named)?.url ?? named, context, { access });
      return named === 'second' ? alterStore(store, second(store)) : store;
    },
  };
}
