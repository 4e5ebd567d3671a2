// The agent's page: status, several calls, transfers, history.
import { announce, attempt, button, CALL_WORDS, element, historyList, keypad, login, remember, statusText, time } from "./page.js";

login("Agent", (phone) => {
  const main = document.querySelector("main");
  const clocks = new Map();
  let open = null;                                      // the call whose keypad or transfer is shown, and which of the two
  phone.addEventListener("change", draw);
  phone.addEventListener("ring", ({ detail }) => announce(detail));
  phone.addEventListener("ended", ({ detail }) => remember(detail));
  setInterval(() => clocks.forEach((clock, call) => (clock.textContent = time(call))), 500);
  const number = element("input", { id: "number", placeholder: "number or name", autocomplete: "off" });
  draw();

  function draw() {
    clocks.clear();
    const status = element("select", { id: "presence", onchange: () => attempt(() => phone.be(status.value)) },
      ...["online", "busy", "away"].map((value) => element("option", { value, textContent: value })));
    status.value = phone.status === "away" ? "away" : phone.dnd ? "busy" : "online";
    const head = element("div", { className: "row" },
      element("strong", { textContent: phone.user }),
      element("span", { id: "status", className: phone.status === "online" ? "good" : "quiet", textContent: statusText(phone) }),
      status,
      Notification.permission === "default" ? button("Notify me", () => Notification.requestPermission().then(draw), { className: "small" }) : null);
    const form = element("form", { className: "row" }, number, element("button", { textContent: "Call" }));
    form.onsubmit = (event) => {
      event.preventDefault();
      attempt(() => phone.dial(number.value.trim()).then(() => (number.value = "")));
    };
    main.replaceChildren(
      element("div", { className: "card" }, head, form),
      ...phone.calls.map(card),
      element("div", { className: "card" }, element("h2", { textContent: "Last calls" }), historyList((peer) => phone.dial(peer))));
  }

  function card(call) {
    const talks = call.state === "active";
    const clock = element("span", { className: "quiet" });
    clocks.set(call, clock);
    const show = (what) => () => {
      open = open?.call === call && open.what === what ? null : { call, what };
      draw();
    };
    const actions = element("div", { className: "row" },
      call.state === "incoming" ? button("Answer", () => answer(call), { className: "good" }) : null,
      talks ? button(call.muted ? "Unmute" : "Mute", () => call.mute(!call.muted)) : null,
      talks ? button(call.held ? "Resume" : "Hold", () => resume(call, !call.held)) : null,
      talks ? button("Keys", show("keys")) : null,
      talks ? button("Transfer", show("transfer")) : null,
      button(call.state === "incoming" ? "Refuse" : "Hang up", () => call.hangUp(), { className: "bad" }));
    const more = open?.call !== call ? null : open.what === "keys" ? keypad((key) => call.key(key)) : transfer(call);
    return element("div", { className: `card call ${call.state}` },
      element("div", { className: "row" }, element("h2", { textContent: call.peer }), clock),
      element("p", { className: "state", textContent: call.held ? "on hold" : CALL_WORDS[call.state] }), actions, more);
  }

  async function answer(call) {
    for (const other of phone.calls) if (other !== call && other.state === "active" && !other.held) await other.hold(true);
    await call.answer();
  }

  async function resume(call, held) {
    if (!held) for (const other of phone.calls) if (other !== call && other.state === "active" && !other.held) await other.hold(true);
    await call.hold(held);
  }

  function transfer(call) {
    const to = element("input", { className: "to", placeholder: "transfer to", autocomplete: "off" });
    const others = phone.calls.filter((other) => other !== call && other.state === "active");
    return element("div", { className: "row" }, to,
      button("Blind", () => call.transfer(to.value.trim())),
      ...others.map((other) => button(`To ${other.peer}`, () => other.transfer(call))));
  }
});
