import type { EventListener, GantryEvent } from '../report/events.ts';
import type { Link } from './link.ts';
import type { PeerEvent } from './messages.ts';

/** More than so many on their way at once are left out: a source that does not read must not make us keep them. */
const MOST_UNDER_WAY = 64;
const LONGEST_TEXT = 8192;

/** Tells a listener here of all events, and the source of what its user should see. */
export class EventRelay {
  readonly #listener: EventListener | undefined;
  #link: Link | undefined;
  #underWay = 0;

  constructor(listener: EventListener | undefined) {
    this.#listener = listener;
  }

  get listener(): EventListener {
    return (event) => {
      this.#listener?.(event);
      const told = forSource(event);
      if (told !== undefined) void this.#tell(told);
    };
  }

  attach(link: Link): void {
    this.#link = link;
  }

  async #tell(event: PeerEvent): Promise<void> {
    if (this.#link === undefined || this.#link.lost.aborted || this.#underWay >= MOST_UNDER_WAY) return;
    this.#underWay += 1;
    try {
      await this.#link.send(event);
    } catch {
      // A source that is gone needs no telling.
    } finally {
      this.#underWay -= 1;
    }
  }
}

function forSource(event: GantryEvent): PeerEvent | undefined {
  const disk = 'disk' in event && event.disk !== undefined ? { disk: event.disk } : {};
  if (event.type === 'warning') return { kind: 'event', text: event.message.slice(0, LONGEST_TEXT), ...disk };
  if (event.type !== 'message') return undefined;
  const { script, stream, line } = event;
  return { kind: 'event', script, stream, text: line.slice(0, LONGEST_TEXT), ...disk };
}
