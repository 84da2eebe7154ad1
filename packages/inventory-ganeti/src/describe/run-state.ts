import type { RunState } from '@gantry/core/inventory';
import type { DetailsAnswer, SummaryAnswer } from './answers.ts';

/**
 * What the list says of running, for which Ganeti asks the nodes at that time. An instance that runs on another node than its primary one, or
 * whose node does not answer, is `unknown`.
 */
export function listedState({ status, pnode }: SummaryAnswer): RunState {
  if (status === 'running' || status === 'ERROR_up')
    return typeof pnode === 'string' && pnode !== '' ? { state: 'running', node: pnode } : { state: 'unknown' };
  return STOPPED.has(status ?? '') ? { state: 'stopped' } : { state: 'unknown' };
}

/** Ganeti's words for an instance that its node does not run, whether it should or not. */
const STOPPED: ReadonlySet<string> = new Set(['ADMIN_down', 'ADMIN_offline', 'ERROR_down', 'USER_down']);

/** What both the list and the details say of running: `unknown` unless they agree, since it may have changed between the two. */
export function describedState(summary: SummaryAnswer, { run_state: state, pnode }: DetailsAnswer): RunState {
  const listed = listedState(summary);
  if (state === 'up') return listed.state === 'running' && listed.node === pnode ? listed : { state: 'unknown' };
  const isDown = state === 'down' || state === 'user down' || state === 'offline';
  return isDown && listed.state === 'stopped' ? listed : { state: 'unknown' };
}
