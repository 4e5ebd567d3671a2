// The tab of menus: those of the database are made, changed and removed here; those of ivr.conf are shown.
import { button, element } from "./page.js";

const TEXTS = { welcome_message: "Greeting", short_message: "Further greetings", invalid_message: "After wrong keys", exit_message: "At the end" };
const NUMBERS = { timeout_ms: "Wait for a key, ms", max_failures: "Wrong keys, at most", max_timeouts: "Greetings, at most" };
const ACTIONS = ["transfer", "menu", "hangup"];

// `ask` asks the HTTP API, `open` shows a card below the table, `close` takes it away, `refresh` reads the table anew.
export function menus({ ask, open, close, refresh }) {
  const path = (id) => `/api/ivr/menus/${encodeURIComponent(id)}`;

  async function edit(id) {
    form(await ask(path(id)), false);
  }

  async function remove(id) {
    if (!confirm(`Delete the menu ${id}?`)) return;
    await ask(path(id), undefined, "DELETE");
    close();
    await refresh();
  }

  function form(menu, fresh) {
    const field = (name, label, more) => element("label", { className: "row" }, element("span", { textContent: label }), element("input", { id: `menu-${name}`, autocomplete: "off", ...more }));
    const rows = element("div", { id: "menu-options", className: "choices" });
    const add = (option = {}) => {
      const at = (name, value, more) => element("input", { name, value: value ?? "", autocomplete: "off", ...more });
      const action = element("select", { name: "action_type", ariaLabel: "what it does" }, ...ACTIONS.map((word) => element("option", { value: word, textContent: word })));
      action.value = option.action_type ?? ACTIONS[0];
      const row = element("div", { className: "row choice" }, at("digit", option.digit, { ariaLabel: "keys", placeholder: "keys", required: true }), action,
        at("action_value", option.action_value, { ariaLabel: "with what", placeholder: "number, menu or cause" }),
        at("welcome_message", option.welcome_message, { ariaLabel: "said before", placeholder: "said before" }),
        button("Remove", () => row.remove(), { className: "small" }));
      rows.append(row);
    };
    menu.options?.forEach(add);
    const whole = element("form", { id: "menu", className: "card" },
      element("div", { className: "row" }, element("h2", { textContent: fresh ? "New menu" : menu.id }), button("Close", close, { className: "small" })),
      fresh ? field("id", "Name", { required: true }) : null,
      ...Object.entries(TEXTS).map(([name, label]) => field(name, label, { value: menu[name] ?? "" })),
      ...Object.entries(NUMBERS).map(([name, label]) => field(name, label, { type: "number", min: 0, value: menu[name] ?? 0 })),
      rows, button("Add a choice", () => add(), { id: "menu-add", className: "small" }), element("button", { textContent: "Save" }));
    open(whole, async () => {
      const value = (name) => whole.querySelector(`#menu-${name}`).value;
      const id = fresh ? value("id").trim() : menu.id;
      // What the form does not show stays as it was.
      const written = { ...menu, id };
      for (const name of Object.keys(TEXTS)) written[name] = value(name);
      for (const name of Object.keys(NUMBERS)) written[name] = Number(value(name));
      written.options = [...rows.children].map((row) => Object.fromEntries([...row.querySelectorAll("input, select")].map((input) => [input.name, input.value])));
      if (fresh && (await known(id))) throw new Error(`there is a menu ${id} already`);
      await ask(path(id), written, "PUT");
      close();
      await refresh();
    });
  }

  async function known(id) {
    try {
      await ask(path(id));
      return true;
    } catch (error) {
      if (error.status === 404) return false;
      throw error;
    }
  }

  return {
    path: "/api/ivr/menus?limit=100",
    columns: ["Menu", "Kept in", "Greeting", ""],
    above: () => button("New menu", () => form({}, true), { id: "menu-new", className: "small" }),
    row: (menu) => (menu.source === "database"
      ? [menu.id, "database", menu.welcome_message, [button("Edit", () => edit(menu.id), { id: `edit-${menu.id}`, className: "small" }),
        button("Delete", () => remove(menu.id), { id: `delete-${menu.id}`, className: "small bad" })]]
      : [menu.name, "ivr.conf", menu.greet_long, "–"]),
  };
}
