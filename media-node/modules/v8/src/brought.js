// Classes that `use` brings, over what classes.js has: functions of the switch, conversions, and classes that are always there.
(function (own) {
  "use strict";
  const { native, text, whole, more, need, from, Session, Event, apiExecute } = own;

  class CURL {
    run(method, url, data, on, argument, credentials, timeout, type) {
      if (arguments.length < 2) throw "Invalid arguments";
      const posts = text(method).toLowerCase() === "post";
      const words = more(arguments, 2);
      const address = posts || words === "" ? text(url) : `${text(url)}?${words}`;
      const answer = native.http(posts ? "POST" : "GET", address, posts ? words : "", more(arguments, 7),
        more(arguments, 5), more(arguments, 6, whole));
      if (!answer || typeof on !== "function" || answer.body === "") return undefined;
      return arguments.length > 4 ? on(answer.body, argument) : on(answer.body);
    }
  }

  class DBH {
    #base;
    #dsn;
    constructor(dsn, user, password) {
      if (arguments.length < 1 || arguments.length > 3) throw "Invalid parameters";
      this.#dsn = text(dsn);
      this.#base = this.#dsn === "" ? null : native.database(this.#dsn, more(arguments, 1), more(arguments, 2));
      if (!this.#base) throw "Failed to create new DBH instance";
    }
    get dsn() { return this.#dsn; }
    query(sql, each) {
      if (arguments.length < 1 || arguments.length > 2) throw "Invalid parameters";
      if (!this.#base("connected")) throw "Database is not connected";
      const rows = this.#base("query", text(sql), typeof each === "function");
      if (rows === null) return false;
      if (typeof each === "function") for (const row of rows) each(row);
      return true;
    }
    test_reactive(test, drop, make) {
      if (arguments.length < 3) throw "Invalid parameters";
      if (!this.#base("connected")) throw "Database is not connected";
      if (text(test) === "" || text(make) === "") return false;
      if (this.#base("query", text(test), false) !== null) return true;
      if (text(drop) !== "") this.#base("query", text(drop), false);
      return this.#base("query", text(make), false) !== null;
    }
    last_error() { return this.#base("error"); }
    affected_rows() { return this.#base("affected"); }
    connected() { return this.#base("connected"); }
    release() { return this.#base("release"); }
  }

  class ODBC {
    #name;
    #login;
    #base = null;
    #rows = [];
    #at = -1;
    constructor(dsn, user, password) {
      if (arguments.length < 1) throw "Invalid arguments";
      this.#name = text(dsn);
      this.#login = [more(arguments, 1), more(arguments, 2)];
    }
    get name() { return this.#name; }
    connect() {
      this.#base = native.database(this.#name, ...this.#login);
      return !!this.#base;
    }
    disconnect() {
      if (this.#base) this.#base("release");
      this.#base = null;
      this.#rows = [];
    }
    close() { this.disconnect(); }
    query(sql) {
      if (arguments.length < 1 || !this.#base) return false;
      const rows = this.#base("query", text(sql), true);
      [this.#rows, this.#at] = [rows ?? [], -1];
      return rows !== null;
    }
    exec(sql) { return this.query(sql); }
    execute(sql) {
      return arguments.length > 0 && !!this.#base && this.#base("query", text(sql), false) !== null;
    }
    numRows() { return this.#rows.length || (this.#base ? this.#base("affected") : 0); }
    numCols() { return this.#rows.length ? Object.keys(this.#rows[0]).length : 0; }
    nextRow() {
      this.#at = Math.min(this.#at + 1, this.#rows.length);
      return this.#at < this.#rows.length;
    }
    getData() { return this.#rows[this.#at] ?? false; }
  }

  class CoreDB {
    #base;
    #path;
    #sql = null;
    #values = [];
    #rows = null;
    #at = -1;
    constructor(name) {
      if (arguments.length < 1) throw "Invalid arguments";
      this.#path = text(name);
      this.#base = native.database(this.#path);
      if (!this.#base) throw "Cannot Open DB!";
    }
    get path() { return this.#path; }
    #connected() {
      if (!this.#base) throw "Database is not connected";
    }
    exec(sql, each) {
      this.#connected();
      const rows = this.#base("query", text(sql), typeof each === "function");
      if (rows === null) return -1;
      if (typeof each === "function") for (const row of rows) each(row);
      return this.#base("affected");
    }
    close() {
      if (this.#base) this.#base("release");
      this.#base = null;
    }
    prepare(sql) {
      this.#connected();
      if (arguments.length < 1) return false;
      [this.#sql, this.#values, this.#rows, this.#at] = [text(sql), [], null, -1];
      return true;
    }
    #bind(args, value) {
      this.#connected();
      if (this.#sql === null) throw "prepare() must be called first";
      if (args.length < 2 || whole(args[0]) < 1 || value === "") throw "Invalid arguments";
      this.#values[whole(args[0]) - 1] = value;
      return true;
    }
    bindText(index, words) {
      const value = more(arguments, 1);
      if (value.includes("\0")) throw "Invalid arguments";
      return this.#bind(arguments, value && `'${value.replaceAll("'", "''")}'`);
    }
    bindInt(index, number) { return this.#bind(arguments, String(whole(number))); }
    // The statement with its values: a `?` outside of quotes stands for one.
    #filled() {
      let count = 0;
      return this.#sql.replace(/'[^']*'|"[^"]*"|\?/g, (part) => (part === "?" ? (this.#values[count++] ?? "NULL") : part));
    }
    #run(rows) {
      this.#connected();
      if (this.#sql === null) return false;
      this.#rows ??= this.#base("query", this.#filled(), rows) ?? false;
      if (this.#rows === false) this.#sql = null;
      return this.#rows !== false;
    }
    next() {
      if (!this.#run(true)) return false;
      this.#at += 1;
      if (this.#at < this.#rows.length) return true;
      this.#sql = null;
      return false;
    }
    step() {
      const done = this.#run(false);
      this.#sql = null;
      return done;
    }
    fetch() {
      this.#connected();
      if (!this.#rows || !(this.#at in this.#rows)) throw "No query is active";
      return this.#rows[this.#at];
    }
    finalize() { this.#sql = null; }
  }

  class Socket {
    #socket = native.socket();
    #connected = true;
    // One that was closed is active again once it connects.
    #active() {
      if (!this.#connected) throw "Socket is not active";
      return this.#socket;
    }
    connect(host, port) {
      if (arguments.length !== 2) return undefined;
      this.#connected = true;
      return this.#socket("connect", text(host), whole(port));
    }
    send(words) { return this.#active()("send", arguments.length === 1 ? text(words) : "") && arguments.length === 1; }
    read(end) { return this.#active()("read", arguments.length === 1 ? text(end) : "\n"); }
    readBytes(octets) { return arguments.length === 1 && this.#active()("readBytes", whole(octets)); }
    close() {
      this.#connected = false;
      this.#socket("close");
    }
    get address() { return this.#active()("address"); }
    get port() { return this.#active()("port"); }
    get timeout() { return this.#active()("timeout"); }
    set timeout(microseconds) { this.#active()("setTimeout", whole(microseconds)); }
  }

  class TeleTone {
    #session;
    #tones = new Map();
    #on = null;
    #argument = [];
    constructor(session, _timer) {
      if (arguments.length < 1 || typeof session !== "object") throw "Missing Session Arg";
      if (!Session.has(session)) throw "Cannot Find Session [1]";
      this.#session = session;
    }
    get name() { return "TeleTone"; }
    addTone(name, ...frequencies) {
      if (frequencies.length < 2) throw "Invalid arguments";
      const heard = frequencies.slice(0, 17).map((each) => Number.parseFloat(text(each)) || 0);
      this.#tones.set(text(name).slice(0, 1), heard.filter((each) => each > 0));
    }
    onDTMF(on, ...argument) {
      [this.#on, this.#argument] = [typeof on === "function" ? on : null, argument.slice(0, 1)];
      return !!this.#on;
    }
    // Tones of one's own stand in the description as what they sound like; settings before them say for how long.
    #described(script) {
      if (this.#tones.size === 0) return script;
      let [on, off] = [250, 62.5];
      return script.replace(/%\([^)]*\)|([a-zA-Z<>+])=([^;]*);?|[^]/g, (part, setting, value) => {
        if (setting === "d") on = Number.parseFloat(value) || 0;
        if (setting === "w") off = Number.parseFloat(value) || 0;
        const tone = part.length === 1 && this.#tones.get(part);
        return tone ? `%(${[on, off, ...tone].join()})` : part;
      });
    }
    generate(script, loops) {
      if (arguments.length < 1) throw "Invalid arguments";
      if (arguments.length > 1 && (!Number.isInteger(loops) || loops === 0)) {
        throw "Cannot get second argument (should be int)";
      }
      const tones = `tone_stream://${this.#described(text(script))}${arguments.length > 1 ? `;loops=${loops}` : ""}`;
      let said;
      Session.plays(this.#session, tones, this.#on && ((_session, kind, what) => {
        if (kind !== "dtmf") return "true";
        said = this.#on(what.digit, ...this.#argument);
        const goesOn = said === undefined || text(said) === "true";
        if (goesOn) said = undefined;
        return goesOn ? "true" : "false";
      }));
      return said;
    }
  }

  class EventHandler {
    #handler;
    constructor(...names) { this.#handler = native.handler(...names.map(text)); }
    get ready() { return !!this.#handler; }
    #ask(operation, ...args) { return this.#handler ? this.#handler(operation, ...args) : false; }
    subscribe(...names) { return this.#ask("subscribe", ...names.map(text)); }
    unSubscribe(...names) { return this.#ask("unSubscribe", ...names.map(text)); }
    addFilter(name, value) { return arguments.length > 1 && this.#ask("addFilter", text(name), text(value)); }
    deleteFilter(name) { return arguments.length > 0 && this.#ask("deleteFilter", text(name)); }
    getEvent(timeout) {
      const event = this.#ask("getEvent", more(arguments, 0, whole));
      return event ? new Event(from, event) : null;
    }
    sendEvent(event, session) {
      if (!(event instanceof Event) || !event.ready) return false;
      if (arguments.length < 2) return event.fire();
      const target = session instanceof Session ? session : new Session(text(session));
      const found = Session.has(target);
      if (!found) {
        native.log("err", `Invalid session id [${session instanceof Session ? "" : text(session)}]`);
        return false;
      }
      if (target !== session) target.setAutoHangup(false);
      return target.sendEvent(event);
    }
    executeApi(command, argument) {
      return arguments.length > 0 ? apiExecute(command, more(arguments, 1)) : "-ERR";
    }
    executeBgApi(command, argument, job) {
      if (arguments.length < 1 || text(command) === "") return false;
      return native.bgapi(text(command), more(arguments, 1), more(arguments, 2));
    }
    destroy() {
      const had = !!this.#handler;
      this.#handler = null;
      return had;
    }
  }

  // An element is a list: name, text, pairs of attributes, and children, each behind how much of the text precedes it.
  class XML {
    #element;
    #parent = null;
    #known = new Map();
    constructor(source, element, parent) {
      if (source === from) {
        [this.#element, this.#parent] = [element, parent];
        return;
      }
      const read = arguments.length > 0 ? native.parseXml(text(source)) : null;
      if (read === null) throw "Bad arguments!";
      this.#element = JSON.parse(read);
    }
    #child(element) {
      if (!this.#known.has(element)) this.#known.set(element, new XML(from, element, this));
      return this.#known.get(element);
    }
    get #children() { return this.#element[3].filter((_, at) => at % 2 === 1); }
    get name() { return this.#element[0]; }
    get data() { return this.#element[1]; }
    set data(words) { this.#element[1] = text(words); }
    get error() { return ""; }
    getChild(name, attribute, value) {
      need(arguments, 1);
      const fits = (child) =>
        child[0] === text(name) &&
        (attribute === undefined || text(attribute) === "" ||
          child[2].some(([key, is]) => key === text(attribute) && is === text(value)));
      const found = this.#children.find(fits);
      return found ? this.#child(found) : null;
    }
    addChild(name, offset) {
      need(arguments, 1);
      const [element, at] = [[text(name), "", [], []], Math.max(whole(offset), 0)];
      const list = this.#element[3];
      let place = 0;
      while (place < list.length && list[place] <= at) place += 2;
      list.splice(place, 0, at, element);
      return this.#child(element);
    }
    next() {
      if (!this.#parent) return null;
      const all = this.#parent.#children;
      const next = all.slice(all.indexOf(this.#element) + 1).find((other) => other[0] === this.#element[0]);
      return next ? this.#parent.#child(next) : null;
    }
    getAttribute(name) {
      need(arguments, 1);
      return this.#element[2].find(([key]) => key === text(name))?.[1] ?? "";
    }
    setAttribute(name, value) {
      need(arguments, 1);
      const pair = this.#element[2].find(([key]) => key === text(name));
      if (pair) pair[1] = more(arguments, 1);
      else this.#element[2].push([text(name), more(arguments, 1)]);
      return true;
    }
    remove() {
      if (!this.#parent) return;
      const list = this.#parent.#element[3];
      const at = list.indexOf(this.#element);
      if (at > 0) list.splice(at - 1, 2);
      this.#parent.#known.delete(this.#element);
      this.#parent = null;
    }
    copy() { return new XML(from, JSON.parse(JSON.stringify(this.#element)), null); }
    serialize() { return native.printXml(JSON.stringify(this.#element)); }
  }

  return { CURL, DBH, ODBC, CoreDB, XML, Socket, TeleTone, EventHandler };
})
