import { LoginLimit } from './login-limit.ts';
import { isPassword } from './password.ts';
import { Sessions } from './sessions.ts';

/**
 * Logins of programs such as Prometheus, which send the password with each request (RFC 7617). What was right or wrong is remembered:
 * scrypt takes a while, and a program that has an old password sends it again and again, which guesses nothing.
 */
export class BasicLogin {
  readonly #credential: () => Promise<string>;
  readonly #limit: LoginLimit;
  readonly #right: Sessions;
  readonly #wrong: Sessions;

  /** @param now a clock that nobody sets, ms */
  constructor(credential: () => Promise<string>, now: () => number) {
    this.#credential = credential;
    this.#limit = new LoginLimit(now);
    this.#right = new Sessions(now);
    this.#wrong = new Sessions(now);
  }

  /**
   * @param authorization the header of a request
   * @returns whether its password is right; `limited` if it was not looked at
   */
  async attempt(address: string, authorization = ''): Promise<boolean | 'limited'> {
    const [, encoded] = /^Basic ([A-Za-z0-9+/=]+)$/i.exec(authorization) ?? [];
    if (encoded === undefined) return false;
    const line = await this.#credential();
    if (this.#right.has(authorization, line)) return true;
    if (this.#wrong.has(authorization, line)) return false;
    const password = Buffer.from(encoded, 'base64')
      .toString('utf8')
      .replace(/^[^:]*:/, '');
    const isRight = await this.#limit.attempt(address, () => isPassword(line, password));
    if (isRight !== 'limited') (isRight ? this.#right : this.#wrong).remember(authorization, line);
    return isRight;
  }
}
