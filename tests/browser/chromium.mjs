// How Chromium is started here, and the two forms the page is looked at in.
import { chromium } from "playwright-core";

export const FORMS = {
  desktop: { viewport: { width: 1280, height: 900 }, colorScheme: "light" },
  phone: { viewport: { width: 390, height: 844 }, colorScheme: "dark", hasTouch: true, isMobile: true },
};
const FLAGS = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

/** A browser whose profile is in `folder`. */
export function launch(executablePath, folder, options = {}) {
  return chromium.launchPersistentContext(folder, { executablePath, headless: true, args: FLAGS, ...options });
}
