import { GantryError } from '@gantry/core';
import type { z } from 'zod';
import type { FleetStatus, Request } from '../control/requests.ts';
import { answer, fleetJobs, fleetStatus, lastGoods } from '../control/requests.ts';
import { askControl } from '../control/socket.ts';
import { DAY_MS } from '../days.ts';
import type { FleetQueue } from '../queue/fleet-queue.ts';
import type { FleetJob, LastGood } from '../queue/records.ts';
import { KEEP_DAYS } from '../queue/records.ts';

/** What the pages are made from. */
export interface Questions extends AsyncDisposable {
  /** Of the last two days. */
  status(): Promise<FleetStatus>;
  good(): Promise<readonly LastGood[]>;
  /** Of the last month. */
  history(instance: string): Promise<readonly FleetJob[]>;
}

/** Two nights: the one that runs, and the one before. */
const STATUS_DAYS = 2;

type Ask = (asked: Request) => Promise<unknown>;

function questions(ask: Ask, close: () => Promise<void>): Questions {
  const daysAgo = (days: number): string => new Date(Date.now() - days * DAY_MS).toISOString();
  const parsed = async <T>(asked: Request, form: z.ZodType<T>): Promise<T> => form.parse(await ask(asked));
  return {
    status: () => parsed({ command: 'status', since: daysAgo(STATUS_DAYS) }, fleetStatus),
    good: () => parsed({ command: 'good' }, lastGoods),
    history: (instance) => parsed({ command: 'history', instance, since: daysAgo(KEEP_DAYS) }, fleetJobs),
    [Symbol.asyncDispose]: close,
  };
}

/** Asks a queue on PostgreSQL. @param openQueue called again until it succeeds */
export function askQueue(openQueue: () => Promise<FleetQueue>): Questions {
  let queue: Promise<FleetQueue> | undefined;
  const ask: Ask = async (asked) => {
    queue ??= openQueue();
    let opened: FleetQueue;
    try {
      opened = await queue;
    } catch (error) {
      queue = undefined;
      throw error;
    }
    return await answer(opened, asked);
  };
  return questions(ask, async () => {
    const opened = await queue?.catch(() => undefined);
    await opened?.[Symbol.asyncDispose]();
  });
}

/** Asks the agent of this machine. @param path of its control socket */
export function askAgent(path: string): Questions {
  const ask: Ask = async (asked) => {
    const answered = await askControl(path, asked);
    if (answered !== undefined) return answered.answer;
    const hint = 'gantry-fleet agent is to run on this machine, as the same user and with the same state directory.';
    throw new GantryError('QUEUE_UNAVAILABLE', { message: 'no agent runs on this machine', hint });
  };
  return questions(ask, () => Promise.resolve());
}
