import { GantryError } from '@gantry/core';
import type { Command } from 'commander';
import type { CommonOptions, Session, Surroundings } from '../session.ts';
import { argument, newCommand, runs } from './common.ts';

/** What came of one promise. */
interface CheckResult {
  readonly title: string;
  readonly kept: boolean;
  readonly reason?: string;
}

export function addStoreCommands(program: Command, surroundings: Surroundings): void {
  const store = program.command('store').description('Stores: check that one keeps its promises.');
  const command = newCommand(
    store,
    'check <store>',
    'Run the conformance suite against a live store, under prefixes of its own that it removes.',
    ['gantry store check /srv/exports'],
  );
  runs<CommonOptions>(command, surroundings, async (session, args) => {
    const address = argument(args, 0);
    const results = await checkPromises(session, address);
    const broken = results.filter(({ kept }) => !kept);
    if (broken.length > 0) {
      throw new GantryError('STORE_FAILED', {
        message: `the store ${address} breaks ${broken.length} of ${results.length} promises`,
        details: broken.map(({ title, reason }) => `${title}: ${reason ?? ''}`),
        hint: 'Exports are not safe in it. docs/writing-a-transport.md says what each promise means.',
      });
    }
    session.output.result({ operation: 'store-check', store: address, results }, `${address} keeps all ${results.length} promises`);
  });
}

async function checkPromises(session: Session, address: string): Promise<readonly CheckResult[]> {
  // Not loaded by the other commands, which would start more slowly.
  const { storeConformance } = await import('@gantry/transport/conformance');
  const results: CheckResult[] = [];
  for (const { title, run } of storeConformance(() => session.open(address))) {
    session.signal.throwIfAborted();
    session.output.note(title);
    results.push(
      await run().then(
        () => ({ title, kept: true }),
        (error: unknown) => ({ title, kept: false, reason: error instanceof Error ? error.message : String(error) }),
      ),
    );
  }
  return results;
}
