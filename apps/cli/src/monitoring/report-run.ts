import type { Configuration, NotifySettings } from '@gantry/config';
import type { PolicyRun } from '@gantry/policies';
import type { Figure } from '@gantry/programs';
import { writeTextfile } from '@gantry/programs';
import type { Session } from '../session.ts';
import { figuresOf } from './figures.ts';
import { isInJournal, writeJournal } from './journal.ts';
import { mailOf } from './mail.ts';
import type { RunHistory } from './run-history.ts';
import { historyWith, readHistories, rememberRun } from './run-history.ts';
import { runWithInput } from './start-program.ts';
import { errorText } from '@gantry/core';

export interface ReportOptions {
  readonly configuration: Pick<Configuration, 'notify' | 'metrics' | 'policies'>;
  /** As an operation gets it. */
  readonly stateDirectory?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Whether it began, so that it has the lock of its policy. */
  readonly hasBegun: boolean;
  /** Not that of an interrupted run, which is reported, too. */
  readonly signal: AbortSignal;
  readonly warn: (message: string) => void;
}

/**
 * Says how a run ended, to all that the configuration names: mail, a command, the journal, a file for Prometheus, OpenTelemetry. What cannot be reached is a warning: the exports are as good as they were.
 */
export async function reportRun(run: PolicyRun, options: ReportOptions): Promise<void> {
  const { configuration, stateDirectory, hasBegun, env, signal } = options;
  const warn = once(options.warn);
  const history = hasBegun ? rememberRun(run, stateDirectory, warn) : historyWith(run, stateDirectory, warn);
  const attempt = async (what: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      warn(`cannot ${what}: ${errorText(error)}`);
    }
  };
  await Promise.all([
    attempt('remember what the run exported', async () => void (await history)),
    ...notifications(run, configuration.notify, signal).map(([what, work]) => attempt(what, work)),
    ...(isInJournal(env) ? [attempt('write to the journal', () => writeJournal(run, signal))] : []),
    ...measurements(history, { ...options, warn }).map(([what, work]) => attempt(what, work)),
  ]);
}

/** Each warning once: several figures are made of what cannot be read. */
function once(warn: (message: string) => void): (message: string) => void {
  const given = new Set<string>();
  return (message) => {
    if (!given.has(message)) warn(message);
    given.add(message);
  };
}

/** How long it may take to say how a run ended, ms. */
const REPORT_TIMEOUT_MS = 120_000;

/** Says how a run ended, or that it did not begin, also if the command is interrupted. */
export async function report(
  session: Pick<Session, 'operation' | 'env' | 'warn'>,
  run: PolicyRun,
  what: Pick<ReportOptions, 'configuration' | 'hasBegun'>,
): Promise<void> {
  const { operation, env, warn } = session;
  const { stateDirectory } = operation;
  await reportRun(run, { ...what, stateDirectory, env, signal: AbortSignal.timeout(REPORT_TIMEOUT_MS), warn });
}

type Work = readonly [what: string, work: () => Promise<void>];

function notifications(run: PolicyRun, notify: NotifySettings | undefined, signal: AbortSignal): readonly Work[] {
  if (notify === undefined || (notify.on === 'failure' && run.outcome === 'done')) return [];
  const { mail, command } = notify;
  return [
    ...(mail === undefined
      ? []
      : [[`send mail to ${mail.to.join(', ')}`, () => runWithInput([mail.sendmail, '-i', '-t'], mailOf(run, mail), signal)] as const]),
    ...(command === undefined ? [] : [['notify', () => runWithInput(command, `${JSON.stringify(run)}\n`, signal)] as const]),
  ];
}

function measurements(history: Promise<RunHistory>, { configuration, stateDirectory, warn }: ReportOptions): readonly Work[] {
  const { metrics, policies } = configuration;
  const { textfile, otlp } = metrics;
  const figures = async (): Promise<readonly Figure[]> =>
    figuresOf(await readHistories(policies, stateDirectory, await history, warn), policies);
  return [
    ...(textfile === undefined ? [] : [[`write ${textfile}`, () => writeTextfile(textfile, figures)] as const]),
    ...(otlp === undefined
      ? []
      : [[`send metrics to ${otlp}`, async () => (await import('./otlp.ts')).sendFigures(otlp, await figures())] as const]),
  ];
}
