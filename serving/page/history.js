/** The history: items, oldest first, that can be moved and taken out. */

import { byId, element, picture, tags } from "./dom.js";

export class History {
  #items = [];
  #changed;

  constructor(changed) {
    this.#changed = changed;
    byId("clear").addEventListener("click", () => this.replace([]));
  }

  get ids() {
    return this.#items.map((item) => item.id);
  }

  /** Add an item as the latest; one that is there becomes the latest. */
  add(item) {
    this.replace([...this.#items.filter(({ id }) => id !== item.id), item]);
  }

  replace(items) {
    this.#items = items;
    this.#show();
    this.#changed();
  }

  #move(from, to) {
    const items = [...this.#items];
    items.splice(to, 0, ...items.splice(from, 1));
    this.replace(items);
    this.#focus(to, to > from ? "later" : "earlier");
  }

  #remove(place) {
    this.replace(this.#items.filter((_, other) => other !== place));
    if (this.#items.length) this.#focus(Math.min(place, this.#items.length - 1), "remove");
    else byId("search").focus();
  }

  /** Focus a button of a row, or where that one is off, its neighbour. */
  #focus(place, action) {
    const row = byId("history").children[place];
    const button = row.querySelector(`[data-action=${action}]`);
    (button.disabled ? row.querySelector("button:enabled") : button).focus();
  }

  #show() {
    const last = this.#items.length - 1;
    const button = (action, sign, label, off, onclick) => element("button", {
      type: "button", class: "small", "data-action": action, "aria-label": label, title: label,
      disabled: off, onclick,
    }, sign);
    byId("history").replaceChildren(...this.#items.map((item, place) => element("li", { "data-id": item.id },
      picture(item),
      element("div", { class: "what" }, element("span", { class: "title" }, item.title), tags(item, 3)),
      button("earlier", "↑", `Move ${item.title} earlier`, place === 0, () => this.#move(place, place - 1)),
      button("later", "↓", `Move ${item.title} later`, place === last, () => this.#move(place, place + 1)),
      button("remove", "×", `Remove ${item.title}`, false, () => this.#remove(place)))));
    byId("clear").disabled = !this.#items.length;
    byId("history-hint").textContent = this.#items.length
      ? "Oldest first." : "Nothing yet: search, or fill in an example.";
  }
}
