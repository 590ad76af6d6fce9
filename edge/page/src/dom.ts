/** Elements without markup strings: text is always text, so nothing needs escaping. */

type Child = Node | string | null | undefined | false;

interface Props {
  class?: string;
  testid?: string;
  /** Attributes; false and undefined leave it out, true sets it empty. */
  attrs?: Record<string, string | number | boolean | undefined>;
  on?: Partial<{ [K in keyof HTMLElementEventMap]: (event: HTMLElementEventMap[K]) => void }>;
}

/** Makes an element. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  if (props.class) element.className = props.class;
  if (props.testid) element.dataset["testid"] = props.testid;
  for (const [name, value] of Object.entries(props.attrs ?? {})) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== undefined) element.setAttribute(name, String(value));
  }
  for (const [type, listener] of Object.entries(props.on ?? {})) {
    element.addEventListener(type, listener as EventListener);
  }
  append(element, children);
  return element;
}

/** Replaces what `parent` holds. */
export function fill(parent: Element, ...children: Child[]): void {
  parent.replaceChildren();
  append(parent, children);
}

/** The element of the page's own HTML with this id. */
export function byId<T extends HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`index.html has no #${id}`);
  return element as T;
}

/** A button with an icon and a name for those who do not see it. */
export function iconButton(
  icon: IconName,
  label: string,
  testid: string,
  press: (event: MouseEvent) => void,
  text?: Node,
): HTMLButtonElement {
  const attrs = { type: "button", "aria-label": label, title: label };
  return el("button", { class: "icon-button", testid, attrs, on: { click: press } }, iconOf(icon), text);
}

function append(parent: Element, children: Child[]): void {
  parent.append(...children.filter((child): child is Node | string => Boolean(child)));
}

/** Strokes on a 24 by 24 grid. */
const ICONS = {
  like: "M12 20s-7.5-4.6-9-9.2C1.9 7.2 4.3 4.5 7.2 4.5c2 0 3.7 1.1 4.8 2.9 1.1-1.8 2.8-2.9 4.8-2.9 2.9 0 5.3 2.7 4.2 6.3-1.5 4.6-9 9.2-9 9.2z",
  comment: "M4 5h16v11H10l-4.5 4v-4H4z",
  share: "M12 15V4M7.5 8 12 3.8 16.5 8M5 13v6.5h14V13",
  hide: "M4 4l16 16M9.9 5.6A9 9 0 0 1 12 5.4c5 0 8.3 4.3 9.2 6.6-.4 1-1.2 2.3-2.5 3.5M6.3 7.6C4.5 8.9 3.3 10.7 2.8 12c.9 2.3 4.2 6.6 9.2 6.6 1.5 0 2.8-.4 4-1M10 10.3a2.6 2.6 0 0 0 3.6 3.6",
  mute: "M10 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM3 20c.4-3.6 3-6 7-6 1.5 0 2.8.3 3.9 1M16 16l5 5M21 16l-5 5",
  similar: "M4 8h11v12H4zM9 4h11v12h-2",
  why: "M5 20V11M12 20V4M19 20v-6",
  theme: "M12 3.5a8.5 8.5 0 1 0 0 17zM12 3.5a8.5 8.5 0 0 1 0 17",
  close: "M5.5 5.5l13 13M18.5 5.5l-13 13",
} as const;

export type IconName = keyof typeof ICONS;

/** An icon in the colour of its text. */
export function iconOf(name: IconName): SVGSVGElement {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  const path = document.createElementNS(namespace, "path");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
}
