export type { InstanceOfRun, InstanceState, PolicyRun, RunOutcome, RunProblem, StoreOfInstance, StoreOfRun } from './record/form.ts';
export type { ReadPolicyRunsOptions } from './record/store.ts';
export { policyRunsDirectory, readPolicyRuns } from './record/store.ts';
export type { PolicyRunRequest } from './run-request.ts';
export type { PlannedInstance, PlannedStore, PolicyPlan } from './plan-policy.ts';
export { planPolicy } from './plan-policy.ts';
export { runPolicy } from './run-policy.ts';
export type { SelectedInstance, Selection, SelectionOptions } from './selection.ts';
export { selectInstances } from './selection.ts';
