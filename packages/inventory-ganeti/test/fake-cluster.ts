import type { Cluster } from '../src/clusters/cluster.ts';
import type { Job } from '../src/jobs/job.ts';

/** A cluster that says what a test wants. What a real one does when it starts and stops instances is tested with one. */
export function clusterWith(
  status: string,
  job: Partial<Job>,
  names: readonly string[] = ['web1.example.com'],
): { readonly cluster: Cluster; readonly calls: string[] } {
  const calls: string[] = [];
  const submit = async (call: string): Promise<string> => {
    calls.push(call);
    return await Promise.resolve('7');
  };
  const cluster: Cluster = {
    label: 'a fake',
    names: async () => await Promise.resolve(names),
    summaries: async () => await Promise.resolve([]),
    summary: async (name) => await Promise.resolve({ name, pnode: 'node1', status }),
    info: async () => await Promise.resolve({}),
    submitDescribe: async (name) => await submit(`describe ${name}`),
    submitStart: async (name) => await submit(`start ${name}`),
    submitStop: async (name, timeoutS) => await submit(`stop ${name} ${timeoutS}`),
    job: async (id) => await Promise.resolve({ id, status: 'success', operationStatus: [], results: [], log: [], ...job }),
    cancelJob: async (id) => void (await submit(`cancel ${id}`)),
  };
  return { cluster, calls };
}
