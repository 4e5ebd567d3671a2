// The customer's page: call the agents or the menu, press keys, mute, hang up.
import { announce, attempt, button, CALL_WORDS, element, historyList, keypad, login, remember, statusText, time } from "./page.js";

const NUMBERS = [["Talk to us", "6000"], ["Menu", "9999"]];

login("Call us", (phone) => {
  const main = document.querySelector("main");
  phone.addEventListener("change", draw);
  phone.addEventListener("ring", ({ detail }) => announce(detail));
  phone.addEventListener("ended", ({ detail }) => remember(detail));
  const clock = element("span", { className: "quiet" });
  setInterval(() => phone.calls[0] && (clock.textContent = time(phone.calls[0])), 500);
  const dial = (number) => phone.dial(number);
  draw();

  function draw() {
    const online = phone.status === "online";
    const status = element("p", { id: "status", className: online ? "good" : "quiet", textContent: statusText(phone) });
    const call = phone.calls[0];
    main.replaceChildren(status, call ? conversation(call) : start(online));
  }

  function start(online) {
    const number = element("input", { id: "number", placeholder: "number", inputMode: "tel", autocomplete: "off" });
    const form = element("form", { className: "row" }, number, element("button", { textContent: "Call", disabled: !online }));
    form.onsubmit = (event) => {
      event.preventDefault();
      attempt(() => dial(number.value.trim()));
    };
    const ways = NUMBERS.map(([text, to]) => button(text, () => dial(to), { className: "large", disabled: !online }));
    return element("div", { className: "card" }, ...ways, form, historyList(dial));
  }

  function conversation(call) {
    const talks = call.state === "active";
    const actions = element("div", { className: "row" },
      call.state === "incoming" ? button("Answer", () => call.answer(), { className: "good" }) : null,
      talks ? button(call.muted ? "Unmute" : "Mute", () => call.mute(!call.muted)) : null,
      talks ? button(call.held ? "Resume" : "Hold", () => call.hold(!call.held)) : null,
      button("Hang up", () => call.hangUp(), { className: "bad" }));
    return element("div", { className: "card call" },
      element("h1", { textContent: call.peer }),
      element("p", { className: "state", textContent: call.held ? "on hold" : CALL_WORDS[call.state] }),
      clock, actions, talks ? keypad((key) => call.key(key)) : null);
  }
});
