/** Elements made of data. Texts become text nodes; nothing is ever parsed as HTML. */

export const byId = (id) => document.getElementById(id);

/** An element; attributes that are false or null are left out, `onclick` and the like listen. */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const WORDS = 40;
const IMAGE = "image", IMAGES = [IMAGE, "image_file"];

/** An item's columns but those of its image. */
export const columns = ({ fields }) => Object.entries(fields).filter(([name]) => !IMAGES.includes(name));

/** A box for an item's image, where its catalog has any; it keeps its size whatever becomes of that. */
export function picture(item) {
  if (!(IMAGE in item.fields)) return null;
  const box = element("span", { class: "picture" }), address = item.fields[IMAGE];
  if (typeof address === "string" && /^https?:\/\//i.test(address)) {
    box.append(element("img", {
      src: address, alt: `Image of ${item.title}`, loading: "lazy", decoding: "async", width: 48, height: 48,
      referrerpolicy: "no-referrer", onerror: (event) => event.currentTarget.remove(),
    }));
  }
  return box;
}

/** A few short values of an item's columns. */
export function tags(item, most = 5) {
  const values = columns(item).flatMap(([name, value]) => {
    if (Array.isArray(value)) return value.map((each) => [name, String(each)]);
    if (typeof value === "number" || typeof value === "boolean") return [[name, `${name} ${value}`]];
    return typeof value === "string" ? [[name, value]] : [];
  });
  const short = values.filter(([, text]) => text && text.length <= WORDS).slice(0, most);
  if (!short.length) return null;
  const made = short.map(([name, text]) => element("span", { class: "tag", title: name }, text));
  return element("span", { class: "tags" }, ...made);
}

/** A button that puts an item into the history. */
export function addButton(item, add) {
  const label = `Add ${item.title} to the history`;
  return element("button", {
    type: "button", class: "small", "aria-label": label, title: label, onclick: () => add(item),
  }, "+");
}

/** A wish that can be taken back; it says what was made of it where the pointer rests. */
export function chip({ said, rule, block, lifts, problem }, forget) {
  const made = problem ?? [
    rule, block.length && `without ${block.join(", ")}`, lifts && `no longer ${lifts}`,
  ].filter(Boolean).join("; ");
  return element("button", {
    type: "button", class: "chip", "data-said": said, "aria-label": `Take back: ${said}`, title: made,
    onclick: (event) => { event.currentTarget.remove(); forget(); },
  }, element("span", {}, said), " ×");
}

/** A recommended item: image, title, tags, score with its bar, a place for a reason. */
export function card(item, best, add, mark = null) {
  const bar = element("span", { class: "bar", "aria-hidden": "true" });
  bar.style.setProperty("--share", Math.exp(item.score - best));
  const made = element("li", { class: mark ? "card marked" : "card", "data-id": item.id },
    picture(item),
    element("div", { class: "what" },
      element("span", { class: "title" }, item.title),
      mark && element("span", { class: "mark" }, mark),
      tags(item),
      element("p", { class: "reason", hidden: true })),
    element("div", { class: "score", title: "log-probability" },
      element("span", { class: "unseen" }, "score "), item.score.toFixed(2).replace("-", "−"), bar),
    addButton(item, add));
  return made;
}
