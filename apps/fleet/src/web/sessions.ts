import { createHash, randomBytes } from 'node:crypto';

const LIFE_MS = 12 * 3_600_000;
/** More browsers than a team has; the one that has logged in first is forgotten. */
const MAX_SESSIONS = 200;
const TOKEN_BYTES = 32;

interface Session {
  /** The line of the password file with which it began: another password ends it. */
  readonly credential: string;
  readonly until: number;
}

/** Who has logged in: in memory, so that a restart ends all sessions. What identifies them is kept as a digest. */
export class Sessions {
  readonly #sessions = new Map<string, Session>();
  readonly #now: () => number;

  /** @param now a clock that nobody sets, ms */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Begins a session. @returns what its browser shows from then on */
  begin(credential: string): string {
    const token = randomBytes(TOKEN_BYTES).toString('base64url');
    this.remember(token, credential);
    return token;
  }

  /** Remembers a text that a program sends each time. */
  remember(token: string, credential: string): void {
    this.#sessions.set(digestOf(token), { credential, until: this.#now() + LIFE_MS });
    for (const oldest of this.#sessions.keys()) {
      if (this.#sessions.size <= MAX_SESSIONS) break;
      this.#sessions.delete(oldest);
    }
  }

  has(token: string, credential: string): boolean {
    const session = this.#sessions.get(digestOf(token));
    return session !== undefined && session.credential === credential && session.until > this.#now();
  }

  end(token: string): void {
    this.#sessions.delete(digestOf(token));
  }
}

function digestOf(token: string): string {
  return createHash('sha256').update(token).digest('base64');
}
