// What all pages share: making elements, the login, the state of a call in words, the history.
import { Phone } from "./phone.js";

export function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

export function button(text, onclick, more = {}) {
  return element("button", { type: "button", textContent: text, onclick: () => attempt(onclick), ...more });
}

// What goes wrong is said in the page.
export async function attempt(what) {
  try {
    say("");
    await what();
  } catch (error) {
    say(error.message || String(error));
  }
}

export function say(text) {
  document.querySelector("#said").textContent = text;
}

const WORDS = { connecting: "connecting …", online: "online", away: "away", refused: "user or password is wrong" };

export function statusText(phone) {
  return phone.status === "online" && phone.dnd ? "busy" : WORDS[phone.status];
}

export function time(call) {
  const seconds = Math.floor((Date.now() - (call.answered ?? call.begun)) / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

export const CALL_WORDS = { incoming: "is calling", calling: "calling …", active: "in conversation", ended: "ended" };

export function keypad(press) {
  return element("div", { className: "keypad" }, ...[..."123456789*0#"].map((key) => button(key, () => press(key), { ariaLabel: `key ${key}` })));
}

// The login. The password stays in memory only. With `token`, a user and its password, there is nothing to ask.
export async function login(title, ready, token) {
  const configuration = await (await fetch("/portal/config.json")).json();
  const domain = configuration.domain || location.hostname;
  const websocket = configuration.websocket || `wss://${location.hostname}:7443`;
  const user = element("input", { id: "user", placeholder: "user", autocomplete: "username", required: true, value: localStorage.getItem("user") ?? "" });
  const password = element("input", { id: "password", placeholder: "password", type: "password", autocomplete: "current-password", required: true });
  const form = element("form", { className: "card" }, element("h1", { textContent: title }), user, password, element("button", { textContent: "Log in" }));
  const start = async (account) => {
    const phone = new Phone({ websocket, domain, ...account });
    form.remove();
    ready(phone);
    await phone.start();
  };
  form.onsubmit = (event) => {
    event.preventDefault();
    attempt(async () => {
      const account = { user: user.value.trim(), password: password.value };
      localStorage.setItem("user", account.user);
      password.value = "";
      await start(account);
    });
  };
  if (token) return attempt(() => start(token));
  document.querySelector("main").replaceChildren(form);
}

const HISTORY = "history";
const MOST = 50;

export function history() {
  try {
    return JSON.parse(localStorage.getItem(HISTORY)) ?? [];
  } catch {
    return [];
  }
}

export function remember(call) {
  const { peer, incoming, begun, answered } = call;
  const entry = { peer, incoming, begun, seconds: answered ? Math.round((Date.now() - answered) / 1000) : null };
  localStorage.setItem(HISTORY, JSON.stringify([entry, ...history()].slice(0, MOST)));
}

export function historyList(dial) {
  const rows = history().map(({ peer, incoming, begun, seconds }) =>
    element("li", {},
      element("span", { className: "peer", textContent: `${incoming ? "↙" : "↗"} ${peer}` }),
      element("span", { className: "quiet", textContent: `${new Date(begun).toLocaleString()} · ${seconds === null ? "missed" : `${seconds} s`}` }),
      button("call", () => dial(peer), { className: "small" }),
    ));
  return element("ul", { className: "history" }, ...rows);
}

// A notification outside the page, where the user allows it, and a ring inside.
export function announce(call) {
  if (Notification.permission === "granted" && document.hidden) {
    const notification = new Notification(`${call.peer} is calling`, { tag: call.id });
    notification.onclick = () => window.focus();
  }
  const context = new AudioContext();
  const tone = context.createOscillator();
  const level = context.createGain();
  level.gain.value = 0.1;
  tone.frequency.value = 440;
  tone.connect(level).connect(context.destination);
  tone.start();
  const beat = setInterval(() => {
    level.gain.value = level.gain.value ? 0 : 0.1;
    if (call.state !== "incoming") {
      clearInterval(beat);
      context.close();
    }
  }, 400);
}
