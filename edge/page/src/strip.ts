/** The strip: how the answer on the screen was made. */

import type { Meta } from "./client.js";
import { byId, el, fill } from "./dom.js";
import * as format from "./format.js";

/** An answer's facts, from its body and headers. */
export interface Served {
  rung: string;
  meta: Meta;
  model?: string;
  config?: string;
  candidates?: number;
  /** Age of the stored facts that were ranked, seconds. */
  dataAgeS?: number;
}

const RUNGS: Record<string, string> = {
  personal: "From your own candidates, at most a minute old.",
  "personal-stale": "From your own candidates, older than a minute; ages and counters are of now.",
  segment: "From the candidates of your segment.",
  hot: "From the hot list.",
  "hot-stale": "From an older hot list.",
};

/** Reads what an answer says of itself; a field that a server leaves out is not shown. */
export function servedOf(answer: { meta: Meta; rung: string; [more: string]: unknown }): Served {
  const { meta } = answer;
  const number = (...values: unknown[]): number | undefined => {
    const found = values.find((value) => value !== null && value !== undefined && Number.isFinite(Number(value)));
    return found === undefined ? undefined : Number(found);
  };
  const described = /(\d+) candidates/.exec(meta.timing.map(({ desc }) => desc ?? "").join(" "))?.[1];
  const madeAt = number(answer["made_at"], answer["made_at_ms"]);
  return {
    rung: meta.rung ?? answer.rung,
    meta,
    model: text(answer["model"]),
    config: text(answer["config"]),
    candidates: number(answer["candidates"], answer["eligible"], meta.headers.get("edgewise-candidates"), described),
    dataAgeS: number(answer["age_s"], meta.ageS, madeAt && Math.max(0, (Date.now() - madeAt) / 1_000)),
  };
}

/** Shows it. */
export function showStrip(served: Served): void {
  const { meta } = served;
  const server = meta.timing.filter(({ durMs }) => durMs !== undefined);
  const timing = server.map(({ name, durMs, desc }) => `${desc ?? name} ${format.milliseconds(durMs ?? 0)}`).join(" · ");
  fill(
    byId("strip"),
    cell("Rung", served.rung, "strip-rung", RUNGS[served.rung], served.rung),
    cell("Cache", meta.cache?.toLowerCase() ?? "none", "strip-cache", meta.cacheStatus ?? "The answer names no cache."),
    cell("Ranked", served.candidates === undefined ? "–" : `${served.candidates}`, "strip-candidates", "Candidates that were scored for this page."),
    cell("Model", served.model ?? "–", "strip-model", served.config && `Configuration ${served.config}`),
    served.config ? cell("Config", served.config, "strip-config") : null,
    cell("Data age", served.dataAgeS === undefined ? "–" : format.staleness(served.dataAgeS), "strip-age", "Age of the stored facts; scores are of this moment."),
    cell("Answer", format.milliseconds(meta.elapsedMs), "strip-time", timing ? `Seen from here. At the server: ${timing}` : "Seen from here."),
    ...server.slice(0, 3).map(({ name, durMs }) => cell(name, format.milliseconds(durMs ?? 0), "strip-timing")),
  );
}

function cell(name: string, value: string, testid: string, title?: string, rung?: string): HTMLElement {
  return el(
    "div",
    { class: "strip-cell", attrs: { title, "data-rung": rung } },
    el("dt", {}, name),
    el("dd", { testid }, value),
  );
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value ? value : undefined;
}
