import type { GantryEvent } from '@gantry/core';
import { GantryError, terminalSafe, errorText } from '@gantry/core';
import { formatBytes, formatDuration, InterruptedError } from '@gantry/programs';
import type { Lines, Output, OutputOptions } from './output.ts';
import { describePlan } from './plan.ts';
import { liveLines } from './live-lines.ts';
import { createProgress } from './progress.ts';

/** How often the bars are redrawn on a terminal, ms. */
const REDRAW_INTERVAL_MS = 200;

/** How often a line of progress is printed without a terminal, ms. */
const LINE_INTERVAL_MS = 10_000;

/** Results on stdout; progress, messages and failures on stderr, with live bars if that is a terminal. */
export function createHumanOutput({ stdout, stderr, quiet, live }: OutputOptions): Output {
  const progress = createProgress(() => performance.now());
  const bars = live ? liveLines(stderr) : undefined;
  let timer: NodeJS.Timeout | undefined;

  const draw = (): void => {
    if (timer === undefined) return;
    if (bars !== undefined) bars.draw(progress.lines({ width: bars.width(), height: bars.height() }));
    else for (const line of progress.lines()) stderr.write(`${line}\n`);
  };
  const say = (text: Lines): void => {
    if (bars === undefined) stderr.write(`${safe(text)}\n`);
    else bars.print(safe(text));
  };
  const start = (): void => {
    // Not within the timer's turn: the signal that the terminal has another size is taken between the two.
    timer = setInterval(() => setImmediate(draw), bars === undefined ? LINE_INTERVAL_MS : REDRAW_INTERVAL_MS).unref();
    if (bars !== undefined) stderr.on('resize', draw);
  };
  const stop = (): void => {
    if (timer === undefined) return;
    clearInterval(timer);
    timer = undefined;
    stderr.off('resize', draw);
    bars?.draw([]);
  };

  return {
    event: (event) => {
      if (quiet && event.type !== 'warning') return;
      progress.take(event);
      const line = describeEvent(event);
      if (line !== undefined) say(line);
      if (!progress.running()) stop();
      else if (timer === undefined) start();
      const finished = progress.finishedLine(event);
      if (finished !== undefined) say(finished);
    },
    note: quiet ? () => undefined : say,
    warn: (message) => say(indented(`warning: ${message}`)),
    ask: say,
    result: (_value, text) => {
      stop();
      if (text.length > 0) stdout.write(`${safe(text)}\n`);
    },
    bytes: (_value, bytes) => {
      stop();
      stdout.write(stdout.isTTY ? `${safe(Buffer.from(bytes).toString().trimEnd().split('\n'))}\n` : bytes);
    },
    failure: (error) => {
      stop();
      stderr.write(`${safe(describeFailure(error))}\n`);
    },
    close: stop,
  };
}

/** Much of the text comes from untrusted data: manifests, scripts, file names. */
function safe(text: Lines): string {
  return [text].flat().map(terminalSafe).join('\n');
}

/** The lines of one message: all but the first are indented, so that none looks like a message of its own. */
function indented(message: string): readonly string[] {
  return message.split('\n').map((line, index) => (index === 0 ? line : `  ${line}`));
}

function describeEvent(event: GantryEvent): Lines | undefined {
  const about = event.instance === undefined ? '' : `${event.instance}: `;
  switch (event.type) {
    case 'stage':
      return indented(`${about}${event.message}`);
    case 'warning':
      return indented(`warning: ${about}${event.disk === undefined ? '' : `disk ${event.disk}: `}${event.message}`);
    case 'round':
      return `round ${event.round} of ${event.rounds}: ${formatBytes(event.plainBytes)} differed, ${formatBytes(event.storedBytes)} sent in ${formatDuration(event.durationMs)}`;
    case 'plan':
      return describePlan(event);
    case 'message':
      return `${about}${event.disk === undefined ? event.script : `disk ${event.disk}`}: ${event.line}`;
    case 'disk':
    case 'progress':
      return undefined;
  }
}

function describeFailure(error: unknown): readonly string[] {
  if (error instanceof GantryError) {
    const more = [...error.details, ...(error.hint === undefined ? [] : [error.hint])];
    return [...indented(`gantry: ${error.message} [${error.code}]`), ...more.flatMap((line) => indented(`  ${line}`))];
  }
  if (error instanceof InterruptedError) return [`gantry: ${error.message}`];
  const message = errorText(error);
  return [
    ...indented(`gantry: internal error: ${message} [INTERNAL]`),
    '  This is a defect in Gantry. Please report it, with the command and its output.',
  ];
}
