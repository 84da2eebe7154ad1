/** A process, mount or device that uses a disk. */
export interface DiskUser {
  /** A clause such as `process 4711 (qemu-system-x86) has it open for writing`. */
  readonly text: string;
  /** Whether it may change the contents of the disk. */
  readonly writes: boolean;
  /** Whether it may end in a moment, such as udev examining a new device. */
  readonly mayPass: boolean;
  /** Of a process. */
  readonly pid?: number;
}
