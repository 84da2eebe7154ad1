import type { Instance } from '../src/instances/model.ts';

/** The least that an instance can be, with one's own fields. */
export function sampleInstance(fields: Partial<Instance> = {}): Instance {
  return {
    name: 'web1.example.com',
    os: 'env-dump+default',
    hypervisor: 'kvm',
    primary_node: 'node1.example.com',
    secondary_nodes: [],
    tags: [],
    disks: [],
    nics: [],
    osparams: {},
    osparams_private: {},
    beparams: {},
    hvparams: {},
    ...fields,
  };
}
