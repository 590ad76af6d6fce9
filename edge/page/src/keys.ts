/** The keyboard: one letter each, never while typing or inside a dialog. */

import type { Card } from "./card.js";
import { byId } from "./dom.js";

export interface Commands {
  cards(): readonly Card[];
  loadMore(): void;
  refresh(): void;
  switchTab(): void;
}

/** Listens for the page's keys. */
export function setUpKeys(commands: Commands): void {
  const help = byId<HTMLDialogElement>("help");
  const openHelp = (): void => help.showModal();
  byId("help-open").addEventListener("click", openHelp);
  byId("help-close").addEventListener("click", () => help.close());
  help.addEventListener("click", (event) => event.target === help && help.close());

  const actions: Record<string, (card: Card) => void> = {
    l: (card) => card.like(),
    c: (card) => card.comment(),
    s: (card) => void card.share(),
    w: (card) => card.why(),
    m: (card) => card.similar(),
    f: (card) => card.follow(),
    o: (card) => card.open(),
    h: (card) => {
      step(commands, 1);
      card.hide();
    },
  };
  document.addEventListener("keydown", (event) => {
    const target = event.target as HTMLElement;
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select, textarea, dialog")) return;
    const card = current(commands);
    const action = actions[event.key];
    if (action) {
      if (!card) return;
      action(card);
    } else if (event.key === "j") step(commands, 1);
    else if (event.key === "k") step(commands, -1);
    else if (event.key === "r") commands.refresh();
    else if (event.key === "t") commands.switchTab();
    else if (event.key === "u") byId("user").focus();
    else if (event.key === "?") openHelp();
    else return;
    event.preventDefault(); // so that the letter does not land in a field that was just focused
  });
}

function present(commands: Commands): Card[] {
  return commands.cards().filter(({ root }) => root.isConnected && !root.classList.contains("gone"));
}

/** The card that has the focus. */
function current(commands: Commands): Card | undefined {
  return present(commands).find(({ root }) => root.contains(document.activeElement));
}

function step(commands: Commands, by: 1 | -1): void {
  const cards = present(commands);
  const at = cards.findIndex(({ root }) => root.contains(document.activeElement));
  const next = cards[at < 0 ? firstVisible(cards) : at + by];
  if (!next) return by > 0 ? commands.loadMore() : undefined;
  next.root.focus({ preventScroll: true });
  next.root.scrollIntoView({ block: "nearest" });
}

/** Where a reader without focus is looking. */
function firstVisible(cards: readonly Card[]): number {
  return cards.findIndex(({ root }) => root.getBoundingClientRect().bottom > 160);
}
