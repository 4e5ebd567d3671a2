// What scripts know beside the language itself: classes and functions as mod_v8 has them, over a table of functions of the
// switch (natives.rs). An object of the switch is a function of an operation's name and its arguments.
(function (table, given, global, bring) {
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

    // Plays for another class, which is told of keys.
    static plays(session, file, on) {
      session.#hears();
      session.#heard(on, undefined, false, (listener) => session.#call("streamFile", file, listener, 0));
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
  const { apiExecute } = functions;
  const brought = bring({ native, text, whole, more, need, from, Session, Event, apiExecute });
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
