/** The lists of recommendations: with and without a filter, reasons as they are found. */

import { findItems, recommend } from "./api.js";
import { byId, card, element } from "./dom.js";

const COUNT = new Intl.NumberFormat("en");
const items = (number) => `${COUNT.format(number)} ${number === 1 ? "item" : "items"}`;

/**
 * Ask and show.
 * @param body the request without a filter.
 * @param where the filter; empty for none.
 * @param explained whether to ask for reasons.
 * @param add puts an item into the history.
 */
export async function showRecommendations({ body, where, explained, add }, signal) {
  const lists = byId("lists");
  lists.setAttribute("aria-busy", "true");
  try {
    const passed = where && (await findItems({ where, limit: 1 }, signal)).total;
    const [all, some, { total }] = await Promise.all([
      recommend(body, signal),
      where && (passed ? recommend({ ...body, where }, signal) : { items: [], timing: [] }),
      findItems({ limit: 1 }, signal),
    ]);
    signal.throwIfAborted();
    const shown = some || all;
    lists.replaceChildren(...(some ? both(all.items, some.items, add) : [list(all.items, add)]));
    tell(body, shown);
    tellEffect(where && { passed, total, all: all.items, some: some.items });
    lists.setAttribute("aria-busy", "false");
    if (explained) await explain({ ...body, ...(where && { where }) }, shown.items, signal);
  } finally {
    if (!signal.aborted) lists.setAttribute("aria-busy", "false");
  }
}

/** Take away what no longer answers what is asked. */
export function clearRecommendations() {
  byId("lists").replaceChildren();
  byId("status").textContent = byId("timing").textContent = "";
  byId("effect").hidden = true;
}

function list(found, add, mark = () => null, best = found[0]?.score) {
  const rows = found.map((item, place) => {
    const row = card(item, best, add, mark(item));
    row.style.setProperty("--place", place);
    return row;
  });
  return element("ol", { class: "cards" }, ...rows);
}

function both(all, some, add) {
  const without = new Set(some.map(({ id }) => id)), before = new Set(all.map(({ id }) => id));
  const best = all[0]?.score;
  const column = (name, title, found, mark) => element("section", { class: name },
    element("h3", {}, title), found.length ? list(found, add, mark, best) : element("p", {}, "Nothing passes."));
  return [
    column("with", "With the filter", some, ({ id }) => (before.has(id) ? null : "moved up")),
    column("without", "Without", all, ({ id }) => (without.has(id) ? null : "dropped out")),
  ];
}

function tell({ history: { length }, temperature }, { items: found, certified, timing }) {
  const after = length ? `after a history of ${items(length)}` : "for an empty history";
  byId("status").textContent = `${items(found.length)} ${after}.`;
  const stages = timing.map(([stage, spent]) => `${stage} ${spent.toFixed(1)} ms`).join(" · ");
  const sure = certified && !temperature ? " No other item would rank higher." : "";
  byId("timing").textContent = found.length
    ? `Scores are log-probabilities, bars the chance beside the first item's.${sure} ${stages}` : "";
}

function tellEffect(effect) {
  const line = byId("effect");
  line.hidden = !effect;
  if (!effect) return;
  const { passed, total, all, some } = effect;
  const kept = new Set(some.map(({ id }) => id));
  const dropped = all.filter(({ id }) => !kept.has(id)).length;
  const share = total ? ` (${Math.round((100 * passed) / total)} %)` : "";
  line.textContent = `The filter leaves ${COUNT.format(passed)} of ${items(total)}${share}; `
    + `${dropped} of ${all.length} dropped out of the list.`;
}

/** Ask for the reasons one by one, so that each is shown as soon as it is found. */
async function explain({ history, adapter, template }, found, signal) {
  const status = byId("status"), told = status.textContent;
  let reasons = 0;
  status.textContent = `${told} Looking for reasons …`;
  for (const { id } of found) {
    const ask = { history, adapter, template, allow: [id], k: 1, explain: true };
    const { explanation } = (await recommend(ask, signal)).items[0] ?? {};
    signal.throwIfAborted();
    const place = byId("lists").querySelector(`.card[data-id="${CSS.escape(id)}"] .reason`);
    place.textContent = explanation ?? "It shares nothing rare with the history.";
    place.classList.toggle("none", !explanation);
    place.hidden = false;
    reasons += explanation ? 1 : 0;
  }
  status.textContent = `${told} ${reasons} of them with a reason.`;
}
