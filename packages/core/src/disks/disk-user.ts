/** A process, mount or device that uses a disk. */
export interface DiskUser {
  /** A clause such as `process 4711 (qemu-system-x86) has it open for writing`. */
  readonly text: string;
  /** Whether it may change the contents of the disk. */
  readonly writes: boolean;
  /** Whether its use may end in a moment: udev, for example, examines new devices. */
  readonly mayEndSoon: boolean;
  /** Process number, if the user is a process. */
  readonly pid?: number;
}
