import { expect, test } from 'vitest';
import type { PlannerTurn } from '../queue/turns.ts';
import { planHealth } from './health.ts';

function turn(plannedSecondsAgo: number | undefined, more: Partial<PlannerTurn> = {}): PlannerTurn {
  return { planner: 'n1', plannedSecondsAgo, problems: [], ...more };
}

test('a plan of the last minutes without problems is a good one', () => {
  expect(planHealth([turn(30)])).toEqual({ ageSeconds: 30, problems: [] });
  expect(planHealth([turn(30), turn(9000, { planner: 'n2', failure: 'the disk is full [STATE_UNUSABLE]' })]).problems).toEqual([]);
});

test('what the last plan left out is named, unless another planner planned it', () => {
  const partly = turn(10, { problems: [{ about: 'n9', message: 'n9 is not a node of the fleet: 1 instance there is not exported' }] });
  expect(planHealth([partly]).problems).toEqual(['not planned: n9 is not a node of the fleet: 1 instance there is not exported']);
  expect(planHealth([partly, turn(60, { planner: 'n2' })]).problems).toEqual([]);
  expect(planHealth([partly, turn(3600, { planner: 'n2' })]).problems).toHaveLength(1);
});

test('of several planners that planned lately, what all could not plan is named, in the words of one', () => {
  const of = (planner: string, ...abouts: readonly string[]): PlannerTurn =>
    turn(10, {
      planner,
      problems: abouts.map((about) => ({ about, message: about === '' ? 'and 9 more' : `${about}: ${planner} says so` })),
    });
  expect(planHealth([of('n1', 'cluster'), of('n2', 'web1', 'n9')]).problems).toEqual([]);
  expect(planHealth([of('n1', 'cluster', 'n9'), of('n2', 'web1', 'web2', 'n9')]).problems).toEqual(['not planned: n9: n1 says so']);
  expect(planHealth([of('n1', 'n9'), of('n2', 'n9'), of('n3', 'web1')]).problems).toEqual([]);
  // What the other one left out may be the same.
  expect(planHealth([of('n1', 'n9'), of('n2', 'web1', '')]).problems).toEqual(['not planned: n9: n1 says so']);
  expect(planHealth([of('n1', 'n9', ''), of('n2', 'n9', '', 'web1')]).problems).toEqual([
    'not planned: n9: n1 says so',
    'not planned: and 9 more',
  ]);
});

test('without a plan of the last minutes, that is said, with why', () => {
  expect(planHealth([])).toEqual({ ageSeconds: undefined, problems: ['no planner has made a plan yet'] });
  expect(planHealth([turn(601)])).toEqual({ ageSeconds: 601, problems: ['no planner has made a plan for 10 minutes'] });
  const failure = 'gantry.yaml, line 3: it is not a policy [CONFIGURATION_INVALID]';
  expect(planHealth([turn(90_000, { failure })]).problems).toEqual([
    'no planner has made a plan for 25 hours',
    `the planner on n1 fails: ${failure}`,
  ]);
});
