// What scripts know beside the language itself: classes and functions as mod_v8 has them, over a table of functions of the
// switch (natives.rs). An object of the switch is a function of an operation's name and its arguments.
(function (table, given, global) {
  "use strict";

  // After `exit`, and when the script has to end, every function of the table throws. A `catch` of the script must not go on
  // from there: the loop runs until the interpreter looks at the limits, and ends the script in a way that is not caught.
  const guarded = (f) => (...args) => {
    try {
      const value = f(...args);
      return typeof value === "function" ? guarded(value) : value;
    } catch (error) {
      if (table.over()) for (;;);
      throw error;
    }
  };
  const native = {};
  for (const name of Object.keys(table)) native[name] = guarded(table[name]);

  const text = (value) => String(value).toWellFormed();
  const whole = (value) => value | 0;
  // An argument that may be left out.
  const more = (args, at, convert = text) => (args.length > at ? convert(args[at]) : convert === text ? "" : 0);

  class DTMF {
    #digit;
    #duration;
    constructor(digit, duration) {
      if (arguments.length < 1) throw "Invalid Args";
      this.#digit = text(digit).slice(0, 1);
      this.#duration = whole(duration) > 0 ? whole(duration) : 2000;
    }
    get digit() { return this.#digit; }
    get duration() { return this.#duration; }
  }

  // Objects the switch gives are made without a constructor's arguments.
  const from = Symbol("from");

  class Event {
    #event;
    constructor(name, subclass, _unique) {
      if (name === from) {
        this.#event = subclass;
        return;
      }
      if (arguments.length < 1) throw "Invalid Args";
      this.#event = native.event(text(name), subclass === undefined ? "none" : text(subclass));
      if (!this.#event) throw `Unknown event ${text(name)}`;
    }
    static number(event) { return event instanceof Event && event.#event ? event.#event("id") : 0; }
    #ask(operation, ...args) { return this.#event ? this.#event(operation, ...args) : false; }
    get ready() { return !!this.#event; }
    addHeader(name, value) {
      return arguments.length > 1 ? this.#ask("addHeader", text(name), text(value)) : false;
    }
    getHeader(name, index) {
      if (arguments.length < 1) return false;
      const value = this.#ask("getHeader", text(name));
      if (arguments.length < 2 || whole(index) < 0 || !this.isArrayHeader(name)) return value;
      const items = value.slice("ARRAY::".length).split("|:");
      return whole(index) < items.length ? items[whole(index)] : null;
    }
    isArrayHeader(name) {
      if (arguments.length < 1 || !this.#event) return false;
      return this.#ask("getHeader", text(name)).startsWith("ARRAY");
    }
    addBody(body) { return arguments.length > 0 ? this.#ask("addBody", text(body)) : false; }
    getBody() { return this.#ask("getBody"); }
    getType() { return this.#ask("getType"); }
    serialize(format) { return this.#ask("serialize", arguments.length > 0 ? text(format) : ""); }
    fire() {
      const fired = this.#ask("fire");
      this.#event = null;
      return fired;
    }
    destroy() {
      const had = !!this.#event;
      this.#event = null;
      return had;
    }
  }

  const NO_SESSION = "No session is active, you must have an active session before calling this method";

  class Session {
    #call;
    #hook = null;
    #caller = {};
    #nested = 0;

    constructor(target, other) {
      if (target === from) {
        this.#call = other;
        return;
      }
      this.#call = native.session();
      if (arguments.length < 1) return;
      if (!text(target).includes("/")) {
        this.#call("locate", text(target));
        return;
      }
      if (!this.#call("dial", text(target), Session.number(other), 60)) {
        this.originateCause = this.#call("property", "cause");
      }
    }

    static number(session) { return session instanceof Session ? session.#call("id") : 0; }
    static has(session) { return session instanceof Session && session.#call("has"); }

    // There is a call; its hangup hook has run if its time has come.
    #sane() {
      if (!this.#call("has")) throw NO_SESSION;
      this.#checkHook();
    }

    // The call is up, and has media.
    #hears() {
      this.#sane();
      if (!this.#call("ready")) throw "Session is not active!";
      if (!this.#call("early")) {
        this.#call("preAnswer");
        if (!this.#call("early")) throw "Session is not answered!";
      }
      if (!this.#call("media")) throw "Session is not in media mode!";
    }

    #checkHook() {
      if (!this.#hook || !this.#call("has")) return;
      const moment = this.#call("moment");
      if (!moment) return;
      const hook = this.#hook;
      this.#hook = null;
      if (text(hook(this, moment)).toLowerCase() === "exit") exit();
    }

    // Runs an operation in which `on(session, kind, what, argument)` is told of keys and events; gives what it returned last.
    #heard(on, argument, hasArgument, operation) {
      let returned = false;
      const listener = typeof on === "function" && ((kind, what, duration) => {
        this.#checkHook();
        if (this.#nested >= 2) {
          native.log("err", "Maximum recursive callback limit 2 reached.");
          return "stop";
        }
        const input = kind === "dtmf" ? new DTMF(what, duration) : new Event(from, what);
        this.#nested += 1;
        try {
          returned = hasArgument ? on(this, kind, input, argument) : on(this, kind, input);
        } finally {
          this.#nested -= 1;
        }
        // Nothing ends it, as anything but "true" does.
        return text(returned) || "false";
      });
      operation(listener || undefined);
      this.#checkHook();
      return returned;
    }

    get name() { return this.#call("property", "name"); }
    get state() { return this.#call("property", "state"); }
    get dialplan() { return this.#call("property", "dialplan"); }
    get caller_id_name() { return this.#call("property", "caller_id_name"); }
    get caller_id_num() { return this.#call("property", "caller_id_num"); }
    get caller_id_number() { return this.#call("property", "caller_id_number"); }
    get network_addr() { return this.#call("property", "network_addr"); }
    get network_address() { return this.#call("property", "network_address"); }
    get ani() { return this.#call("property", "ani"); }
    get aniii() { return this.#call("property", "aniii"); }
    get destination() { return this.#call("property", "destination"); }
    get uuid() { return this.#call("property", "uuid"); }
    get cause() { return this.#call("property", "cause"); }
    get causecode() { return this.#call("causecode"); }

    originate(other, dial, timeout) {
      native.log("warning", "This method is deprecated, please use new Session(\"<dial string>\", a_leg)");
      if (this.#call("has")) throw "cannot call this method on an initialized session";
      if (arguments.length < 2) return false;
      if (other === this) throw "Supplied a_leg session is the same as our session";
      if (other instanceof Session && !Session.has(other)) throw "Supplied a_leg session is not initilaized!";
      if (!text(dial).includes("/")) {
        native.log("warning", "Invalid Channel String");
        return false;
      }
      const seconds = arguments.length > 2 && text(timeout) !== "" ? whole(timeout) : 60;
      const { caller_id_name: name = "", caller_id_number: number = "" } = this.#caller;
      return this.#call("dial", text(dial), Session.number(other), seconds, name, number);
    }

    // Of the fields of the reference those that a call is made with here.
    setCallerData(name, value) {
      const field = text(name).toLowerCase();
      if (arguments.length < 2 || !["caller_id_name", "caller_id_number"].includes(field)) return false;
      this.#caller[field] = text(value);
      return true;
    }

    setHangupHook(hook) {
      if (!this.#call("has")) return false;
      this.#hook = typeof hook === "function" ? hook : typeof global[text(hook)] === "function" ? global[text(hook)] : null;
      this.#call("hook", !!this.#hook);
      return !!this.#hook;
    }

    setAutoHangup(on) {
      this.#sane();
      if (arguments.length < 1) return false;
      this.#call("autoHangup", !!on);
      return !!on;
    }

    streamFile(file, on, argument, samples) {
      this.#hears();
      if (arguments.length > 0 && text(file) === "") throw "Invalid filename";
      const begin = more(arguments, 3, whole);
      return this.#heard(on, argument, arguments.length > 2, (listener) =>
        this.#call("streamFile", more(arguments, 0), listener, begin));
    }

    recordFile(file, on, argument, limit, threshold, hits) {
      this.#hears();
      if (arguments.length < 1 || text(file) === "") return false;
      return this.#heard(on, argument, arguments.length > 2, (listener) =>
        this.#call("recordFile", text(file), listener, whole(limit), whole(threshold), whole(hits)));
    }

    sayPhrase(name, data, language, on, argument) {
      this.#hears();
      if (arguments.length < 1) throw "Invalid arguments";
      if (text(name) === "") throw "Invalid phrase name";
      return this.#heard(on, argument, arguments.length > 4, (listener) =>
        this.#call("sayPhrase", text(name), more(arguments, 1), more(arguments, 2), listener));
    }

    speak(engine, voice, words, on, argument) {
      this.#hears();
      if (arguments.length < 3) throw "Invalid arguments";
      if (text(engine) === "") throw "Invalid TTS Name";
      if (text(words) === "") throw "Invalid Text";
      return this.#heard(on, argument, arguments.length > 4, (listener) =>
        this.#call("speak", text(engine), text(voice), text(words), listener));
    }

    collectInput(on, argument, first, second) {
      this.#hears();
      const [between, all] = arguments.length > 3 ? [whole(first), whole(second)] : [0, whole(first)];
      return this.#heard(on, argument, arguments.length > 1, (listener) =>
        this.#call("collectInput", listener, between, all));
    }

    sleep(milliseconds, on, argument) {
      this.#hears();
      if (whole(milliseconds) <= 0) return undefined;
      return this.#heard(on, argument, arguments.length > 2, (listener) =>
        this.#call("sleep", whole(milliseconds), listener));
    }

    getDigits(count, terminators, timeout, between, all) {
      this.#hears();
      if (arguments.length < 1) return undefined;
      if (whole(count) > 512) throw "Exceeded max digits of 512";
      const first = arguments.length > 2 ? whole(timeout) : 5000;
      return this.#call("getDigits", whole(count), more(arguments, 1), first, whole(between), whole(all));
    }

    flushDigits() {
      this.#sane();
      if (!this.#call("media")) throw "Session is not in media mode!";
      this.#call("flushDigits");
      return true;
    }

    // Events go to the function that listens at once; none are kept.
    flushEvents() { return this.#call("has"); }
    getEvent() {
      this.#sane();
      return false;
    }
    sendEvent(event) {
      this.#sane();
      if (event instanceof Event && event.ready) this.#call("sendEvent", Event.number(event));
      return true;
    }

    setVariable(name, value) {
      this.#sane();
      return arguments.length > 1 ? this.#call("setVariable", text(name), text(value)) : false;
    }
    getVariable(name) {
      this.#sane();
      return arguments.length > 0 ? this.#call("getVariable", text(name)) : false;
    }

    answer() {
      this.#sane();
      if (!this.#call("ready")) throw "Session is not active!";
      this.#call("answer");
      return true;
    }
    preAnswer() {
      this.#sane();
      if (!this.#call("ready")) throw "Session is not active!";
      this.#call("preAnswer");
      return true;
    }

    generateXmlCdr() { return (this.#call("has") && this.#call("record")) || false; }
    ready() { return this.#call("has") && this.#call("ready"); }
    answered() { return this.#call("has") && this.#call("answered"); }
    mediaReady() { return this.#call("has") && this.#call("media"); }
    ringReady() { return this.#call("has") && this.#call("rings"); }

    #wait(what, args) {
      this.#sane();
      const came = this.#call("wait", what, args.length > 0 ? Math.max(whole(args[0]), 1000) : 60000);
      this.#checkHook();
      return came;
    }
    waitForAnswer(_timeout) { return this.#wait("answer", arguments); }
    waitForMedia(_timeout) { return this.#wait("media", arguments); }

    hangup(cause) {
      this.#sane();
      if (!this.#call("up")) return false;
      this.#call("hangup", more(arguments, 0));
      this.#checkHook();
      return true;
    }

    execute(application, data) {
      this.#sane();
      if (arguments.length < 1) return false;
      const ran = this.#call("execute", text(application), more(arguments, 1));
      this.#checkHook();
      return ran;
    }

    destroy(cause) {
      this.#sane();
      this.#hook = null;
      this.#call("destroy", more(arguments, 0));
      return true;
    }

    bridge(other, on, argument) {
      if (!(other instanceof Session)) throw "Cannot find session B";
      if (!Session.has(this)) throw "session A is not ready!";
      if (!Session.has(other)) throw "session B is not ready!";
      this.#heard(on, argument, arguments.length > 2, (listener) =>
        this.#call("bridge", Session.number(other), listener));
      return true;
    }
  }

  class Request {
    #request;
    constructor(key, request) {
      if (key !== from) throw "Invalid Args";
      this.#request = request;
    }
    get command() { return this.#request("command"); }
    write(words) { return arguments.length > 0 ? this.#request("write", text(words)) : false; }
    addHeader(name, value) {
      return arguments.length > 1 ? this.#request("addHeader", text(name), text(value)) : false;
    }
    getHeader(name) { return arguments.length > 0 ? this.#request("getHeader", text(name)) : false; }
    dumpEnv(format) { return this.#request("dumpEnv", arguments.length > 0 ? text(format) : ""); }
    dumpENV(format) { return this.#request("dumpEnv", arguments.length > 0 ? text(format) : ""); }
  }

  class FileIO {
    #file;
    #path;
    constructor(path, flags) {
      if (arguments.length < 2) throw "Invalid Args";
      this.#path = text(path);
      this.#file = native.file(this.#path, text(flags));
      if (!this.#file) throw `Cannot Open File: ${this.#path}`;
    }
    get path() { return this.#path; }
    get open() { return this.#file("open"); }
    read(octets) { return this.#file("read", whole(octets)); }
    write(words) { return arguments.length > 0 ? this.#file("write", text(words)) : false; }
    data() { return this.#file("data"); }
    close() { this.#file("close"); }
  }

  class PCRE {
    #text = null;
    #pattern;
    get ready() { return true; }
    compile(words, pattern) {
      if (arguments.length < 2) throw "Invalid args";
      const fits = native.regex(text(words), text(pattern), "") !== null;
      [this.#text, this.#pattern] = fits ? [text(words), text(pattern)] : [null, null];
      return fits;
    }
    substitute(template) {
      if (this.#text === null) throw "REGEX is not compiled or has no matches";
      if (arguments.length < 1) throw "Invalid Args";
      return native.regex(this.#text, this.#pattern, text(template));
    }
  }

  // Classes that `use` brings.

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

  const brought = { CURL, DBH, ODBC, CoreDB, XML };

  const log = (level, words) =>
    words === undefined ? native.log("debug", text(level)) : native.log(text(level), text(words));
  const need = (args, count, what = "Invalid arguments") => {
    if (args.length < count) throw what;
  };
  const exit = (...args) => {
    native.exit(args.length > 0 ? text(args[0]) : "");
    for (;;);
  };
  const include = (...names) => {
    need(names, 1);
    for (const name of names) {
      const found = native.include(text(name), text(global.scriptPath ?? ""));
      if (found) return found[0];
    }
    throw "Failed to include javascript file";
  };
  const fetchUrl = (...args) => {
    need(args, 1);
    const answer = native.http("GET", text(args[0]), "", "", "", 0, args.length > 1 ? whole(args[1]) : 65535);
    return answer ? answer.body : false;
  };
  const fetchUrlFile = (...args) => {
    need(args, 2);
    return native.httpFile("GET", text(args[0]), "", "", "", 0, 0, text(args[1]));
  };
  const fetchUrlHash = (...args) => {
    need(args, 1);
    let hash = args[1];
    if (typeof hash === "string") {
      hash = global[args[1]] ?? (global[args[1]] = []);
      if (!Array.isArray(hash)) throw "Second argument is the name of an existing var of the wrong type";
    } else if (args.length < 2) {
      hash = [];
    } else if (!Array.isArray(hash)) {
      throw "Second argument is of the wrong type";
    }
    const answer = native.http("GET", text(args[0]));
    for (const line of answer ? answer.body.split("\n") : []) {
      const at = line.indexOf("=");
      if (at < 0) continue;
      hash[line.slice(0, at).trim()] = line.slice(line[at + 1] === ">" ? at + 2 : at + 1).trim();
    }
    return hash;
  };

  const functions = {
    log,
    consoleLog: log,
    console_log: log,
    getGlobalVariable(name) {
      need(arguments, 1, "var name not supplied!");
      return native.getGlobal(text(name));
    },
    setGlobalVariable(name, value, old) {
      need(arguments, 2, "var name not supplied!");
      if (arguments.length > 2) return native.setGlobal(text(name), text(value), text(old));
      native.setGlobal(text(name), text(value));
      return true;
    },
    exit,
    include,
    require: include,
    bridge(a, b, on, argument) {
      if (!(a instanceof Session)) throw "Cannot find session A";
      return arguments.length > 3 ? a.bridge(b, on, argument) : a.bridge(b, on);
    },
    email: (...args) => native.email(...args.map(text)),
    apiExecute(command, argument, session) {
      if (arguments.length < 1) return "";
      if (text(command).toLowerCase() === "jsapi") {
        native.log("err", "Invalid API Call!");
        return false;
      }
      return native.api(text(command), more(arguments, 1), Session.number(session));
    },
    use(name) {
      need(arguments, 1);
      const found = Object.hasOwn(brought, text(name)) ? brought[text(name)] : null;
      if (!found) throw `Error loading ${text(name)}`;
      global[text(name)] = found;
    },
    msleep(milliseconds) {
      if (!whole(milliseconds)) throw "No time specified";
      native.msleep(whole(milliseconds));
    },
    fileDelete(path) {
      need(arguments, 1);
      return native.fileDelete(text(path));
    },
    system(line) {
      need(arguments, 1);
      return native.system(text(line));
    },
    fetchURL: fetchUrl,
    fetchURLHash: fetchUrlHash,
    fetchURLFile: fetchUrlFile,
    fetchUrl,
    fetchUrlHash,
    fetchUrlFile,
    id: () => native.id(),
    version: () => "QuickJS",
  };
  Object.assign(global, functions, { Session, Event, DTMF, FileIO, PCRE });

  // What the script is given.
  global.session = given.session ? new Session(from, guarded(given.session)) : false;
  for (const [name, event] of given.events) global[name] = new Event(from, guarded(event));
  if (given.request) global.request = new Request(from, guarded(given.request));
  if (given.XML_REQUEST) global.XML_REQUEST = given.XML_REQUEST;
  if (given.argv) {
    global.argv = given.argv;
    global.argc = given.argv.length;
    global.scriptPath = given.scriptPath;
  }
})
