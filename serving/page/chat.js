/** The chat: what was said, items as the answer names them, and what it understood. */

import { streamChat } from "./api.js";
import { byId, card, chip, element } from "./dom.js";

/**
 * Answer what is sent.
 * @param options gives the request's fields beside the messages.
 * @param add puts an item into the history.
 * @param failed is told what went wrong and where to say it.
 */
export function listenToChat(options, add, failed) {
  const log = byId("chat"), input = byId("message"), send = byId("chat-form").querySelector("button");
  const messages = [], ignored = new Set();

  function say(who, name, ...children) {
    const turn = element("div", { class: `turn ${who}` }, element("p", { class: "who" }, name), ...children);
    log.append(turn);
    log.scrollTop = log.scrollHeight;
    return turn;
  }

  /** What holds now; each wish can be taken back for the messages that follow. */
  function tell(understood) {
    log.querySelector(".wishes")?.remove();
    const wishes = new Map(understood.map((wish) => [wish.said, wish]));
    if (!wishes.size) return null;
    return element("div", { class: "wishes" }, "Understood:", ...[...wishes.values()].map((wish) => chip(wish, () => {
      ignored.add(wish.said);
      input.focus();
    })));
  }

  async function answer() {
    const items = element("ol", { class: "cards" }), text = element("p");
    const turn = say("assistant", options().model, items, text);
    const named = [];
    let said = "", best = null;
    const { content } = messages.at(-1);
    const ignore = [...ignored].filter((words) => !content.includes(words));
    for await (const chunk of streamChat({ ...options(), messages, ...(ignore.length && { ignore }) })) {
      const words = chunk.choices[0]?.delta.content ?? "";
      said += words;
      const listed = chunk.items?.every((item) => item.start === undefined);
      if (!listed) text.append(words);
      for (const item of chunk.items ?? []) {
        named.push(item.id);
        best ??= item.score;
        items.append(card(item, best, add));
      }
      if (chunk.understood) turn.append(tell(chunk.understood) ?? "");
      log.scrollTop = turn.previousElementSibling.offsetTop;
    }
    messages.push({ role: "assistant", content: said, items: named });
    for (const words of ignored) if (content.includes(words)) ignored.delete(words);  // said anew
  }

  byId("chat-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    const words = input.value.trim();
    if (!words || send.disabled) return;
    input.value = "";
    send.disabled = true;
    say("user", "You", element("p", {}, words));
    messages.push({ role: "user", content: words });
    try {
      await answer();
    } catch (error) {
      messages.pop();
      log.lastElementChild.remove();
      failed(error, say("assistant", "Error", element("p", { class: "error" })).lastElementChild);
    } finally {
      send.disabled = false;
    }
  });
}
