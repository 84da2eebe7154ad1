/** Somebody who uses a disk. */
export interface DiskUser {
  /** A clause such as `process 4711 (qemu-system-x86) has it open for writing`. */
  readonly text: string;
  /** Whether it may change what the disk holds. */
  readonly writes: boolean;
  /** Whether it may well be over in a moment, as when udev looks at a new device. */
  readonly mayPass: boolean;
  /** Of a process. */
  readonly pid?: number;
}
