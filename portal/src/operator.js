// The operator's page: what the switch does now, on the HTTP API. The token stays in memory only; what it does not allow is not asked for again.
import { attempt, button, element, say } from "./page.js";
import { menus } from "./menus.js";

const EVERY = 2000;                     // milliseconds between looks
const ROWS = 100;                       // rows of a table
const BAD = { mos: 3.1, loss: 5 };      // as mod_media_quality's own limits

const main = document.querySelector("main");
let token = "";

main.replaceChildren(login());

function login() {
  const secret = element("input", { id: "token", type: "password", placeholder: "token or API key", autocomplete: "off", required: true, ariaLabel: "token or API key" });
  const form = element("form", { className: "card" }, element("h1", { textContent: "Operator" }), secret, element("button", { textContent: "Log in" }),
    element("p", { className: "quiet", textContent: "Tokens come from the HTTP API's settings: scopes calls:read, system:read, and for commands calls:write and system:write." }));
  form.onsubmit = (event) => {
    event.preventDefault();
    attempt(async () => {
      token = secret.value.trim();
      secret.value = "";
      try {
        await ask("/api/dashboard/stats");
      } catch (error) {
        token = "";
        throw error;
      }
      show();
    });
  };
  return form;
}

async function ask(path, body, method) {
  return (await request(path, body, method)).json().catch(() => ({}));
}

// A token has two dots; anything else is a key.
async function request(path, body, method = body ? "POST" : "GET") {
  const headers = token.split(".").length === 3 ? { authorization: `Bearer ${token}` } : { "x-api-key": token };
  if (body) headers["content-type"] = "application/json";
  const answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), cache: "no-store" });
  if (!answer.ok) {
    const said = await answer.json().catch(() => ({}));
    const error = new Error(answer.status === 401 ? "the token is wrong or has expired" : answer.status === 403 ? "the token does not allow this" : said.detail ?? `error ${answer.status}`);
    error.status = answer.status;
    throw error;
  }
  return answer;
}

const number = (value, unit = "") => (value === null || value === undefined ? "–" : `${value}${unit}`);
const clock = (seconds) => (seconds ? `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}` : "–");
const since = (epoch) => (epoch ? clock(Date.now() / 1000 - epoch) : "–");
const moment = (epoch) => (epoch ? new Date(epoch * 1000).toLocaleString() : "–");

function quality(call) {
  const known = call.quality;
  if (!known || known.mos === null) return { text: "–" };
  const bad = known.mos < BAD.mos || known.loss_percent > BAD.loss || known.out_loss_percent > BAD.loss;
  const out = known.out_loss_percent === null ? "" : `, ${known.out_loss_percent} % lost out`;
  return { text: `${known.mos.toFixed(2)} · ${known.loss_percent} % lost${out}`, className: bad ? "bad" : "good" };
}

const TABS = {
  Calls: {
    path: `/api/calls/active?limit=${ROWS}`,
    columns: ["From", "To", "State", "Time", "Quality", ""],
    row: (call) => [call.from_name && call.from_name !== call.from ? `${call.from_name} ${call.from}` : call.from, call.to, call.state, since(call.answered ?? call.created), quality(call),
      [button("Explain", () => explain(call), { id: `explain-${call.uuid}`, className: "small" }), button("Hang up", () => hangUp(call), { id: `end-${call.uuid}`, className: "small bad" })]],
  },
  Phones: {
    path: `/api/registrations?limit=${ROWS}`,
    columns: ["User", "Domain", "Address", "Transport", "Expires"],
    row: (phone) => [phone.user, phone.domain, `${phone.network_ip}:${phone.network_port}`, phone.transport, moment(Number(phone.expires))],
  },
  Gateways: {
    path: `/api/gateways?limit=${ROWS}`,
    columns: ["Gateway", "Profile", "Address", "State"],
    row: (gateway) => [gateway.name, gateway.profile, gateway.address, { text: gateway.state, className: /^(UP|REGED|NOREG)/.test(gateway.state) ? "good" : "bad" }],
  },
  Queues: {
    path: `/api/queues?limit=${ROWS}`,
    columns: ["Queue", "Waiting", "Agents", "Answered", "Abandoned"],
    row: (queue) => [queue.name, { text: queue.waiting, className: queue.waiting ? "bad" : "" },
      queue.agents.map((agent) => `${agent.name}: ${agent.status}, ${agent.state}`).join("\n") || "–", number(queue.answered), number(queue.abandoned)],
  },
  History: {
    path: `/api/calls/history?limit=${ROWS}`,
    columns: ["Began", "From", "To", "Direction", "Cause", "Talked", "Recording"],
    row: (call) => [moment(call.created), call.from, call.to, call.direction, call.cause ?? "–", clock((call.billed_ms ?? 0) / 1000),
      call.recorded ? [button("Play", () => play(call), { id: `play-${call.uuid}`, className: "small" })] : "–"],
  },
  Menus: menus({ ask, open, close, refresh: () => refresh() }),
  Command: null,
};

let explained, current, figures, panel;

function show() {
  say("");
  explained = element("div", { id: "explained" });
  figures = element("div", { className: "figures" });
  panel = element("div", { id: "panel", role: "tabpanel", tabIndex: -1 });
  const tabs = element("div", { role: "tablist", ariaLabel: "What is shown" });
  for (const name of Object.keys(TABS)) {
    tabs.append(element("button", { type: "button", role: "tab", id: `tab-${name}`, textContent: name, onclick: () => choose(name) }));
  }
  // Arrows move between tabs, as screen readers announce (ARIA Authoring Practices).
  tabs.onkeydown = (event) => {
    const names = Object.keys(TABS);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = names[(names.indexOf(current) + step + names.length) % names.length];
    choose(next);
    document.getElementById(`tab-${next}`).focus();
  };
  main.replaceChildren(
    element("div", { className: "card" }, element("div", { className: "row" }, element("h1", { textContent: "Operator" }), element("span", { id: "state", className: "quiet" }),
      button("Log out", () => { token = ""; location.reload(); }, { className: "small" })), figures),
    element("div", { className: "card" }, tabs, panel), explained);
  choose("Calls");
  look();
}

function choose(name) {
  current = name;
  for (const tab of document.querySelectorAll("[role=tab]")) {
    const chosen = tab.id === `tab-${name}`;
    tab.ariaSelected = String(chosen);
    tab.tabIndex = chosen ? 0 : -1;
  }
  panel.setAttribute("aria-labelledby", `tab-${name}`);
  close();
  if (name === "Command") return panel.replaceChildren(commandLine());
  panel.replaceChildren(element("p", { className: "quiet", textContent: "…" }));
  attempt(refresh);
}

async function look() {
  while (token) {
    try {
      drawFigures(await ask("/api/dashboard/stats"));
      if (current !== "Command") await refresh();
      document.querySelector("#state").textContent = "live";
    } catch (error) {
      document.querySelector("#state").textContent = "no answer";
      if (error.status === 401) {
        token = "";
        main.replaceChildren(login());
      }
      say(error.message);
    }
    await new Promise((resolve) => setTimeout(resolve, document.hidden ? 5 * EVERY : EVERY));
  }
}

function drawFigures(stats) {
  const percent = (share) => (share === null ? "–" : `${(share * 100).toFixed(1)} %`);
  const all = [["Legs", stats.active_legs], ["Answered legs", stats.answered_legs], ["Legs per second", stats.legs_per_second], ["Answer rate", percent(stats.answer_rate)],
    ["Average talk", clock(stats.average_duration_seconds)], ["Phones", stats.registrations], ["Takes calls", stats.ready ? "yes" : "no"]];
  figures.replaceChildren(...all.map(([name, value]) => element("div", { className: "figure" }, element("strong", { textContent: value }), name)));
}

async function refresh() {
  const name = current;
  const { path, columns, row, above } = TABS[name];
  const { items, total } = await ask(path);
  if (current !== name) return;
  const focused = panel.contains(document.activeElement) ? document.activeElement.id : "";
  const cell = (value, at) => {
    const made = element("td");
    made.dataset.label = columns[at];
    if (Array.isArray(value)) made.append(element("div", { className: "row" }, ...value));
    else if (value && typeof value === "object") Object.assign(made, { textContent: value.text, className: value.className ?? "" });
    else made.textContent = value ?? "–";
    return made;
  };
  const rows = items.map((item) => element("tr", {}, ...row(item).map(cell)));
  const head = element("thead", {}, element("tr", {}, ...columns.map((column) => element("th", { scope: "col", textContent: column }))));
  panel.replaceChildren(...(above ? [above()] : []), items.length ? element("div", { className: "scroll" }, element("table", {}, head, element("tbody", {}, ...rows))) : element("p", { className: "quiet", textContent: "none" }),
    ...(total > items.length ? [element("p", { className: "quiet", textContent: `${items.length} of ${total}` })] : []));
  // A button that had the focus has it again.
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

// What stood below the table goes, and with it the memory of a recording.
function close() {
  for (const audio of explained.querySelectorAll("audio")) {
    audio.pause();
    URL.revokeObjectURL(audio.src);
  }
  explained.replaceChildren();
}

// A form below the table; what goes wrong when it is sent is said, and it stays.
function open(form, send) {
  close();
  form.onsubmit = (event) => {
    event.preventDefault();
    attempt(send);
  };
  explained.append(form);
  form.querySelector("input")?.focus();
}

// Addresses hold no token, so that the file is fetched first and played from memory.
async function play(call) {
  const file = await (await request(`/api/calls/${encodeURIComponent(call.uuid)}/recording`)).blob();
  close();
  const audio = element("audio", { id: "recording", controls: true, src: URL.createObjectURL(file), ariaLabel: `recording of ${call.from} to ${call.to}` });
  audio.onerror = () => say("this browser cannot play the recording");
  explained.append(element("div", { className: "card" }, element("div", { className: "row" }, element("h2", { textContent: `${call.from} → ${call.to}` }),
    button("Close", close, { className: "small" })), audio));
  explained.scrollIntoView({ block: "nearest" });
  // A page that may not start sound by itself has the button of the player.
  await audio.play().catch(() => {});
}

async function explain(call) {
  const { explanation, quality: known } = await ask(`/api/calls/${encodeURIComponent(call.uuid)}/media`);
  const way = (name, of) => (of ? `${name}: ${of.packets} packets, ${of.loss_percent} % lost, jitter ${of.jitter_ms} ms, score ${of.mos}` : `${name}: nothing known`);
  const lines = known ? [way("heard", known.inbound), way("sent", known.outbound), `round trip: ${number(known.round_trip_ms, " ms")}`] : [];
  close();
  explained.append(element("div", { className: "card" }, element("div", { className: "row" }, element("h2", { textContent: `${call.from} → ${call.to}` }),
    button("Close", close, { className: "small" })), element("pre", { tabIndex: 0, textContent: [explanation.trimEnd(), ...lines].join("\n") })));
  explained.scrollIntoView({ block: "nearest" });
}

async function hangUp(call) {
  await ask(`/api/calls/${encodeURIComponent(call.uuid)}/hangup`, {});
  await refresh();
}

const lines = [];                       // commands of this login, newest last

function commandLine() {
  const line = element("input", { id: "command", placeholder: "sofia status", autocomplete: "off", spellcheck: false, ariaLabel: "command" });
  const output = element("pre", { id: "output", tabIndex: 0, ariaLive: "polite" });
  const form = element("form", { className: "row" }, line, element("button", { textContent: "Run" }));
  let at = lines.length;
  line.onkeydown = (event) => {
    const step = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (!step) return;
    event.preventDefault();
    at = Math.min(Math.max(at + step, 0), lines.length);
    line.value = lines[at] ?? "";
  };
  form.onsubmit = (event) => {
    event.preventDefault();
    attempt(async () => {
      const command = line.value.trim();
      if (!command) return;
      lines.push(command);
      at = lines.length;
      output.textContent = "…";
      try {
        output.textContent = (await ask("/api/command", { command })).output;
      } catch (error) {
        output.textContent = "";
        throw error;
      }
      line.select();
    });
  };
  return element("div", { className: "card" }, form, output);
}
