import type { RunState } from '@gantry/core/inventory';

/** Whether an instance runs, and where. */
export function describeRun(run: RunState): string {
  return run.state === 'running' ? `running on ${run.node}` : run.state;
}
