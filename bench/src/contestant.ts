/** Where one contest happens. */
export interface Room {
  /** The disk that is exported: a file. */
  readonly disk: string;
  readonly bytes: number;
  /** Of the contestant's own: what it makes goes here. Emptied before each export. */
  readonly own: string;
  /** Where an import writes to: a file, made anew before each. */
  readonly target: string;
}

/** A tool, and how it moves a disk out and in. Lines are of bash, run in `own`. */
export interface Contestant {
  readonly name: string;
  /** What a reader must know to judge the figures. */
  readonly note?: string;
  /** Is run, not measured, before each measured export; the directory is empty. */
  readonly prepare?: (room: Room) => string;
  readonly export: (room: Room) => string;
  /** Undefined where it has no way back of its own. Runs where the last export was made. */
  readonly import?: (room: Room) => string;
  /** Takes so long, and scatters so little, that one run tells enough. */
  readonly once?: boolean;
  readonly environment?: Readonly<Record<string, string>>;
}

/** A word of bash. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
