import type { WriteStream } from 'node:tty';

/** Lines at the bottom of a terminal that are redrawn in place while other output scrolls above them. */
export interface LiveLines {
  /** Columns that a line may have: one less than the terminal's, because some terminals wrap when the last column is filled. */
  readonly width: () => number;
  /** How many lines fit. */
  readonly height: () => number;
  /** Replaces the lines that are there, unless they are the same. Each must fit. */
  readonly draw: (lines: readonly string[]) => void;
  /** Writes text that stays, above the lines, which are redrawn. */
  readonly print: (text: string) => void;
}

const CURSOR_UP = (rows: number): string => (rows === 0 ? '' : `\u001B[${rows}A`);
const ERASE_BELOW = '\u001B[J';

/** The assumed size of a terminal that does not report one. */
const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;
const MIN_COLUMNS = 12;

/** The lines are ASCII only, so that each character takes one cell. */
export function liveLines(terminal: Pick<WriteStream, 'columns' | 'rows' | 'write'>): LiveLines {
  let drawn: readonly string[] = [];

  const columns = (): number => Math.max(MIN_COLUMNS, terminal.columns || DEFAULT_COLUMNS);
  // A terminal that has become narrower has wrapped the lines into more rows.
  const erase = (): string => {
    const rows = drawn.reduce((total, line) => total + Math.max(1, Math.ceil(line.length / columns())), 0);
    return rows === 0 ? '' : `\r${CURSOR_UP(rows)}${ERASE_BELOW}`;
  };
  const render = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');

  return {
    width: () => columns() - 1,
    height: () => Math.max(1, (terminal.rows || DEFAULT_ROWS) - 1),
    draw: (lines) => {
      // What is written while a terminal becomes narrower counts with the old width, and stays: so no more often than needed.
      if (lines.length === drawn.length && lines.every((line, index) => line === drawn[index])) return;
      terminal.write(`${erase()}${render(lines)}`);
      drawn = lines;
    },
    print: (text) => {
      terminal.write(`${erase()}${text}\n${render(drawn)}`);
    },
  };
}
