/** Authors that this user may want to follow. */

import type { Edgewise } from "./client.js";
import { byId, el, fill } from "./dom.js";
import type { Opinions } from "./opinions.js";

/** Shows them; the panel stays hidden when there is nobody. */
export async function showPeople(edge: Edgewise, opinions: Opinions, announce: (message: string) => void): Promise<void> {
  const panel = byId("people");
  panel.hidden = true;
  if (!edge.user) return;
  try {
    const { items } = await edge.suggestedUsers({ limit: 6 });
    const rows = items.map(({ user, common }) => {
      const button = el("button", { class: "text-button", attrs: { type: "button" } });
      const refresh = (): void => {
        const followed = opinions.isFollowed(user);
        button.textContent = followed ? "Following" : "Follow";
        button.setAttribute("aria-pressed", String(followed));
        button.setAttribute("aria-label", `${followed ? "Unfollow" : "Follow"} ${user}`);
      };
      button.addEventListener("click", () => {
        const followed = !opinions.isFollowed(user);
        opinions.setFollowed(user, followed);
        refresh();
        announce(followed ? `You follow ${user}.` : `You no longer follow ${user}.`);
        void edge.track({ type: followed ? "follow" : "unfollow", author: user });
      });
      opinions.onChange(refresh);
      refresh();
      const shared = Array.isArray(common) ? common.length : common;
      return el(
        "li",
        { testid: "suggested-user" },
        el("span", { class: "person" }, el("span", { class: "author" }, user), shared ? el("span", { class: "quiet" }, `${shared} in common`) : null),
        button,
      );
    });
    fill(byId("people-list"), ...rows);
    panel.hidden = !rows.length;
  } catch {
    // A side dish: the feed does without it.
  }
}
