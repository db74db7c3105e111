/** The chat: what was said, and items as the answer names them. */

import { streamChat } from "./api.js";
import { byId, card, element } from "./dom.js";

/**
 * Answer what is sent.
 * @param options gives the request's fields beside the messages.
 * @param add puts an item into the history.
 * @param failed is told what went wrong and where to say it.
 */
export function listenToChat(options, add, failed) {
  const log = byId("chat"), input = byId("message"), send = byId("chat-form").querySelector("button");
  const messages = [];

  function say(who, name, ...children) {
    const turn = element("div", { class: `turn ${who}` }, element("p", { class: "who" }, name), ...children);
    log.append(turn);
    log.scrollTop = log.scrollHeight;
    return turn;
  }

  async function answer() {
    const items = element("ol", { class: "cards" }), text = element("p");
    const turn = say("assistant", options().model, items, text);
    const named = [];
    let said = "", best = null;
    for await (const chunk of streamChat({ ...options(), messages })) {
      const words = chunk.choices[0]?.delta.content ?? "";
      said += words;
      const listed = chunk.items?.every((item) => item.start === undefined);
      if (!listed) text.append(words);
      for (const item of chunk.items ?? []) {
        named.push(item.id);
        best ??= item.score;
        items.append(card(item, best, add));
      }
      log.scrollTop = turn.previousElementSibling.offsetTop;
    }
    messages.push({ role: "assistant", content: said, items: named });
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
