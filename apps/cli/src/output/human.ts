import type { GantryEvent } from '@gantry/core';
import { GantryError, terminalSafe } from '@gantry/core';
import { InterruptedError } from '../signals.ts';
import type { Output, OutputOptions } from './output.ts';
import { describePlan } from './plan.ts';
import { createProgress } from './progress.ts';

/** How often the bars are drawn again on a terminal, ms. */
const REDRAW_INTERVAL_MS = 200;

/** How often a line tells how far it is where there is no terminal, ms. */
const LINE_INTERVAL_MS = 10_000;

/** Results on stdout; progress, messages and failures on stderr, with live bars where that is a terminal. */
export async function createHumanOutput({ stdout, stderr, quiet }: OutputOptions): Promise<Output> {
  const progress = createProgress(() => performance.now());
  // Loaded where there is a terminal: it takes a tenth of the command's start.
  const bars = stderr.isTTY ? (await import('log-update')).createLogUpdate(stderr) : undefined;
  let timer: NodeJS.Timeout | undefined;

  const draw = (): void => {
    const lines = progress.lines();
    if (bars !== undefined) bars(lines.join('\n'));
    else for (const line of lines) stderr.write(`${line}\n`);
  };
  const say = (text: string): void => {
    if (bars !== undefined) bars.clear();
    stderr.write(`${safe(text)}\n`);
    if (bars !== undefined && timer !== undefined) draw();
  };
  const stop = (): void => {
    if (timer === undefined) return;
    clearInterval(timer);
    timer = undefined;
    bars?.clear();
  };

  return {
    event: (event) => {
      if (quiet && event.type !== 'warning') return;
      progress.take(event);
      const line = describeEvent(event);
      if (line !== undefined) say(line);
      if (progress.running() && timer === undefined) {
        timer = setInterval(draw, bars === undefined ? LINE_INTERVAL_MS : REDRAW_INTERVAL_MS).unref();
      } else if (!progress.running()) {
        stop();
      }
      const finished = progress.finishedLine(event);
      if (finished !== undefined) say(finished);
    },
    note: say,
    result: (_value, text) => {
      stop();
      if (text !== '') stdout.write(`${safe(text)}\n`);
    },
    failure: (error) => {
      stop();
      stderr.write(`${safe(describeFailure(error))}\n`);
    },
    close: stop,
  };
}

/** Much of what is shown is data from elsewhere: manifests, scripts, file names. */
function safe(text: string): string {
  return text.split('\n').map(terminalSafe).join('\n');
}

function describeEvent(event: GantryEvent): string | undefined {
  switch (event.type) {
    case 'stage':
      return event.message;
    case 'warning':
      return `warning: ${event.disk === undefined ? '' : `disk ${event.disk}: `}${event.message}`;
    case 'plan':
      return describePlan(event);
    case 'message':
      return `${event.disk === undefined ? event.script : `disk ${event.disk}`}: ${event.line}`;
    case 'disk':
    case 'progress':
      return undefined;
  }
}

function describeFailure(error: unknown): string {
  if (error instanceof GantryError) {
    const lines = [`gantry: ${error.message} [${error.code}]`, ...error.details.map((detail) => `  ${detail}`)];
    if (error.hint !== undefined) lines.push(`  ${error.hint}`);
    return lines.join('\n');
  }
  if (error instanceof InterruptedError) return `gantry: ${error.message}`;
  const message = error instanceof Error ? error.message : String(error);
  return `gantry: this should not have happened: ${message}\n  Please report it, with the command and its output.`;
}
