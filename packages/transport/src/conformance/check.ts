import type { Room } from './room.ts';

/** One promise and how it is put to the test, in a room of its own. */
export interface Check {
  readonly title: string;
  readonly check: (room: Room) => Promise<void>;
}
