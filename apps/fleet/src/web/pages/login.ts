import { html } from '@gantry/programs';
import { page } from './layout.ts';

/** The page that asks for the password. @param problem why the last attempt was refused */
export function loginPage(problem: string | undefined): string {
  const body = html`<form class="login" method="post" action="/login">
    <h2>Log in</h2>
    ${problem === undefined ? '' : html`<p class="notice" role="alert">${problem}</p>`}
    <input name="username" autocomplete="username" value="gantry-fleet" hidden />
    <label for="password">Password</label>
    <input id="password" name="password" type="password" autocomplete="current-password" required autofocus />
    <button>Log in</button>
  </form>`;
  return page('Gantry fleet: log in', body, { isLoggedIn: false });
}
