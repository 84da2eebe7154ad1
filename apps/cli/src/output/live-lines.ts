import type { WriteStream } from 'node:tty';

/** Lines at the bottom of a terminal that are drawn again and again, with other output going on above them. */
export interface LiveLines {
  /** Columns that a line may have: one less than the terminal, since some go on to the next line when the last one is filled. */
  readonly width: () => number;
  /** How many lines fit. */
  readonly height: () => number;
  /** Draws these lines in place of those that are there. Each must fit. */
  readonly draw: (lines: readonly string[]) => void;
  /** Writes text for good, above the lines, which are drawn again. */
  readonly print: (text: string) => void;
}

const CURSOR_UP = (rows: number): string => (rows === 0 ? '' : `\u001B[${rows}A`);
const ERASE_BELOW = '\u001B[J';

/** What a terminal that does not say its size is taken for. */
const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;
const MIN_COLUMNS = 12;

/** The lines hold ASCII alone, so that each character takes one cell. */
export function liveLines(terminal: Pick<WriteStream, 'columns' | 'rows' | 'write'>): LiveLines {
  let drawn: readonly string[] = [];

  const columns = (): number => Math.max(MIN_COLUMNS, terminal.columns || DEFAULT_COLUMNS);
  // A terminal that has become narrower has broken what was there into more rows.
  const erase = (): string => {
    const rows = drawn.reduce((total, line) => total + Math.max(1, Math.ceil(line.length / columns())), 0);
    return rows === 0 ? '' : `\r${CURSOR_UP(rows)}${ERASE_BELOW}`;
  };
  const render = (lines: readonly string[]): string => lines.map((line) => `${line}\n`).join('');

  return {
    width: () => columns() - 1,
    height: () => Math.max(1, (terminal.rows || DEFAULT_ROWS) - 1),
    draw: (lines) => {
      terminal.write(`${erase()}${render(lines)}`);
      drawn = lines;
    },
    print: (text) => {
      terminal.write(`${erase()}${text}\n${render(drawn)}`);
    },
  };
}
