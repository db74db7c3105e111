/** The page of a running server. */

import { chooseCatalog, findItems, getInfo, getModels, hasKey, keepKey } from "./api.js";
import { listenToChat } from "./chat.js";
import { byId, columns, element } from "./dom.js";
import { History } from "./history.js";
import { clearRecommendations, showRecommendations } from "./results.js";
import { listenToSearch } from "./search.js";

const PAUSE_MS = 200;
const history = new History(refreshSoon);
let info = null, asking = null, timer = 0;

/** Say what went wrong where it belongs; what was given up on purpose is no error. */
function fail(error, place) {
  if (error.name === "AbortError") return;
  if (error.status === 401) askKey(hasKey() ? error.message : "");
  else if (error.param === "where") {
    byId("filter-error").textContent = error.message;
    byId("filter").setAttribute("aria-invalid", "true");
    if (place !== byId("failure")) place.textContent = error.message;
  } else place.textContent = error.message;
}

function askKey(message) {
  byId("key-form").hidden = false;
  byId("key-error").textContent = message;
  byId("key").focus();
}

/** What every request says beside its messages or its filter. */
function options() {
  const temperature = byId("temperature").valueAsNumber;
  const drawn = temperature > 0 ? { temperature, seed: byId("seed").valueAsNumber } : {};
  return { history: history.ids, k: byId("k").valueAsNumber, ...drawn };
}

const filter = () => byId("filter").value.trim();

function refreshSoon() {
  clearTimeout(timer);
  timer = setTimeout(refresh, PAUSE_MS);
}

async function refresh() {
  asking?.abort();
  asking = new AbortController();
  byId("seed").disabled = !(byId("temperature").valueAsNumber > 0);
  byId("failure").textContent = byId("filter-error").textContent = "";
  byId("filter").removeAttribute("aria-invalid");
  const wrong = byId("options").querySelector("input:invalid");
  if (wrong) {
    clearRecommendations();
    byId("failure").textContent = `${wrong.labels[0].textContent}: ${wrong.validationMessage}`;
    return;
  }
  const body = { ...options(), adapter: byId("model").value, template: byId("template").value };
  const explained = info.tasks.includes("explanation") && byId("reasons").checked && history.ids.length > 0;
  const asked = { body, where: filter(), explained, add };
  try {
    await showRecommendations(asked, asking.signal);
  } catch (error) {
    if (error.name !== "AbortError") clearRecommendations();
    fail(error, byId("failure"));
  }
}

const add = (item) => history.add(item);

/** Items that have the most in common with the first one of the catalog. */
async function example() {
  const catalog = byId("catalog").value;
  const { items } = await findItems({ limit: 100 });
  if (byId("catalog").value !== catalog) return;
  const values = ({ fields }) => Object.values(fields).flat().map(String);
  const wanted = new Set(items.slice(0, 1).flatMap(values));
  const common = (item) => values(item).filter((value) => wanted.has(value)).length;
  history.replace(items.toSorted((one, other) => common(other) - common(one)).slice(0, 4));
}

/** A rule that an item passes, for each column that it has a plain value in. */
function exampleRules(item) {
  return columns(item).flatMap(([column, value]) => {
    const first = Array.isArray(value) ? value.at(-1) : value;
    if (!/^[A-Za-z_]\w*$/.test(column)) return [];
    if (typeof first === "number") return Array.isArray(value) ? [] : [`${column} <= ${first}`];
    if (typeof first !== "string" || !first || first.length > 30) return [];
    const quoted = JSON.stringify(first);
    return Array.isArray(value)
      ? [`${quoted} in ${column}`, `not ${quoted} in ${column}`] : [`${column} == ${quoted}`];
  }).slice(0, 3);
}

const choices = (names) => names.map((name) => element("option", { value: name }, name));

function tellInfo(models) {
  const count = new Intl.NumberFormat("en").format(info.offered);
  byId("about").textContent = `${info.name} · ${count} items · learnt ${info.tasks.join(", ")}`;
  byId("k").max = info.limits.k;
  byId("model").replaceChildren(...choices(models.data.map(({ id }) => id)));
  byId("catalog").replaceChildren(...choices(info.domains.map(({ name }) => name)));
  byId("catalog-choice").hidden = info.domains.length < 2;
  byId("reasons-label").hidden = !info.tasks.includes("explanation");
  byId("chat-hint").textContent = info.tasks.includes("reply")
    ? "This model answers in words, and what you wish for or refuse becomes a filter."
    : info.tasks.includes("search")
    ? "This model finds items for what you say; the filter holds here too."
    : "This model has not learnt to read requests: whatever you say, it answers with what follows the history.";
}

/** Show what the chosen catalog has, and begin with an empty history. */
async function openCatalog() {
  const place = byId("catalog").selectedIndex;
  const domain = info.domains[place];
  asking?.abort();
  chooseCatalog(place ? domain.name : null);
  clearRecommendations();
  byId("filter").value = "";
  byId("template").replaceChildren(...choices([domain.template]));
  byId("filter-hint").textContent = `A rule over the columns ${domain.columns.join(", ")}.`;
  byId("filter-examples").replaceChildren();
  history.replace([]);
  const { items: [item] } = await findItems({ limit: 1 });
  if (byId("catalog").value !== domain.name) return;
  byId("filter-examples").replaceChildren(...(item ? exampleRules(item) : []).map((rule) => element("button", {
    type: "button", class: "rule",
    onclick: () => { byId("filter").value = rule; refreshSoon(); },
  }, rule)));
}

async function start() {
  byId("failure").textContent = "";
  try {
    const told = await getInfo();  // alone, since each wrong key is counted
    const models = await getModels();
    info = told;
    tellInfo(models);
    await openCatalog();
    byId("key-form").hidden = true;
    byId("main").hidden = false;
    byId("more").open = !matchMedia("(max-width: 52rem)").matches;
  } catch (error) {
    fail(error, byId("failure"));
  }
}

byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepKey(byId("key").value);
  byId("key").value = "";
  if (info === null) start();
  else {
    byId("key-form").hidden = true;
    refresh();
  }
});
byId("catalog").addEventListener("change", () => openCatalog().catch((error) => fail(error, byId("failure"))));
byId("options").addEventListener("input", refreshSoon);
byId("options").addEventListener("submit", (event) => { event.preventDefault(); refresh(); });
byId("example").addEventListener("click", () => example().catch((error) => fail(error, byId("failure"))));
listenToSearch(
  add,
  (message) => { byId("search-status").textContent = message; },
  (error) => fail(error, byId("search-status")),
);
listenToChat(() => {
  const where = filter();
  return { ...options(), model: byId("model").value, ...(where && { where }) };
}, add, fail);
start();
