/** The files of one contestant. */
export interface Workspace {
  /** The disk that is exported: a file. */
  readonly disk: string;
  readonly bytes: number;
  /** The contestant's own directory, for everything that it makes. Emptied before each export. */
  readonly own: string;
  /** The file that an import writes to. Made again before each. */
  readonly target: string;
}

/** A tool, and how it exports and imports a disk. The lines are bash, run in `own`. */
export interface Contestant {
  readonly name: string;
  /** What a reader needs to know to judge the figures. */
  readonly note?: string;
  /** Runs before each measured export, and is not measured; the directory is empty. */
  readonly prepare?: (workspace: Workspace) => string;
  readonly export: (workspace: Workspace) => string;
  /** Undefined if the tool cannot import. Runs in the directory of the last export. */
  readonly import?: (workspace: Workspace) => string;
  /** The name of another one: what this one costs above it is shown too, by runs of the same round. */
  readonly above?: string;
  /** Whether the tool is so slow and steady that one run is enough. */
  readonly once?: boolean;
  readonly environment?: Readonly<Record<string, string>>;
}

/** A word of bash. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
