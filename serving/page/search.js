/** The search field: a combobox whose list shows what the catalog holds. */

import { findItems } from "./api.js";
import { byId, element, picture, tags } from "./dom.js";

const PAUSE_MS = 120;

/**
 * Search while somebody types; `add` takes the item that is chosen, `tell` a message,
 * `failed` what went wrong.
 */
export function listenToSearch(add, tell, failed) {
  const input = byId("search"), list = byId("found");
  let found = [], answered = "", at = -1, timer = 0, asking = null;

  function close() {
    clearTimeout(timer);
    asking?.abort();
    found = [];
    answered = "";
    at = -1;
    list.replaceChildren();
    show();
  }

  function show() {
    list.hidden = list.childElementCount === 0;
    input.setAttribute("aria-expanded", String(!list.hidden));
    [...list.children].forEach((row, place) => row.setAttribute("aria-selected", String(place === at)));
    if (at < 0) input.removeAttribute("aria-activedescendant");
    else {
      input.setAttribute("aria-activedescendant", `found-${at}`);
      list.children[at].scrollIntoView({ block: "nearest" });
    }
  }

  function choose(item) {
    input.value = "";
    close();
    add(item);
    input.focus();
  }

  async function ask() {
    asking?.abort();
    asking = new AbortController();
    const query = input.value.trim();
    tell("");
    if (!query) return close();
    try {
      found = (await findItems({ query, limit: 12 }, asking.signal)).items;
      answered = query;
      at = found.length ? 0 : -1;
      list.replaceChildren(...found.map((item, place) => element("li", {
        id: `found-${place}`, role: "option", onmousedown: (event) => event.preventDefault(),
        onclick: () => choose(item),
      }, picture(item), element("div", { class: "what" }, element("span", { class: "title" }, item.title), tags(item, 3)))));
      show();
      if (!found.length) tell(`Nothing is called “${query}”.`);
    } catch (error) {
      failed(error);
    }
  }

  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(ask, PAUSE_MS);
  });
  input.addEventListener("blur", close);
  async function chooseAnswered() {
    clearTimeout(timer);
    if (input.value.trim() !== answered) await ask();  // Enter came before the answer did
    if (found.length) choose(found[at]);
  }

  input.addEventListener("keydown", (event) => {
    const steps = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key === "Escape") close();
    else if (event.key in steps && found.length) {
      at = (at + steps[event.key] + found.length) % found.length;
      show();
    } else if (event.key === "Enter") chooseAnswered();
    else return;
    event.preventDefault();
  });
}
