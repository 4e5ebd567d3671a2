//! What reaches the machine (`system` and its kin) is refused to Event Socket clients on other machines until
//! `allow-host-commands` is set. A client that comes by an address of this machine that is not loopback stands for one
//! elsewhere; says so where there is no such address.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const LOOPBACK: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Where packets to elsewhere would come from; nothing is sent.
fn outer_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_loopback() && !ip.is_unspecified()).then_some(ip)
}

struct Switch {
    child: Child,
    home: PathBuf,
    port: u16,
}

impl Switch {
    fn start(name: &str, settings: &str) -> Self {
        let home =
            std::env::temp_dir().join(format!("ferroswitch-host-{}-{name}", std::process::id()));
        fs::create_dir_all(home.join("conf")).expect("a directory");
        let free = TcpListener::bind("0.0.0.0:0").expect("a free port");
        let port = free.local_addr().expect("its address").port();
        drop(free);
        let document = format!(
            r#"<document type="freeswitch/xml"><section name="configuration">
  <configuration name="event_socket.conf"><settings>
    <param name="listen-ip" value="0.0.0.0"/><param name="listen-port" value="{port}"/>
    <param name="apply-inbound-acl" value="0.0.0.0/0"/>{settings}
  </settings></configuration>
</section></document>
"#
        );
        fs::write(home.join("conf/freeswitch.xml"), document).expect("configuration");
        let mut command = Command::new(env!("CARGO_BIN_EXE_ferroswitch"));
        command.arg("-base").arg(&home).args(["-nf", "-nonat"]).env_remove("FREESWITCH_OPTS");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { child: command.spawn().expect("it runs"), home, port }
    }

    fn marker(&self, name: &str) -> PathBuf {
        self.home.join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.home.join("log/freeswitch.log")).unwrap_or_default()
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.home);
    }
}

struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(ip: IpAddr, switch: &Switch) -> Self {
        let began = Instant::now();
        let stream = loop {
            match TcpStream::connect((ip, switch.port)) {
                Ok(stream) => break stream,
                Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
            }
            sleep(Duration::from_millis(5));
        };
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let mut client = Self(BufReader::new(stream));
        client.packet();
        assert!(client.say("auth ClueCon").0.contains("+OK accepted"));
        client
    }

    /// Headers and body of the next packet.
    fn packet(&mut self) -> (String, String) {
        let mut head = String::new();
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).expect("a line") > 0, "closed after {head}");
            if line == "\n" {
                break;
            }
            head.push_str(&line);
        }
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        let mut body = vec![0; length.map_or(0, |text| text.trim().parse().expect("a length"))];
        self.0.read_exact(&mut body).expect("the body");
        (head, String::from_utf8_lossy(&body).into_owned())
    }

    fn say(&mut self, text: &str) -> (String, String) {
        self.0.get_mut().write_all(format!("{text}\n\n").as_bytes()).expect("sent");
        self.packet()
    }

    fn api(&mut self, line: &str) -> String {
        self.say(&format!("api {line}")).1
    }

    fn background(&mut self, line: &str) -> String {
        self.say("event plain BACKGROUND_JOB");
        self.say(&format!("bgapi {line}"));
        let body = self.packet().1;
        self.say("noevents");
        body
    }

    fn until(&mut self, line: &str, wanted: &str) {
        let began = Instant::now();
        while !self.api(line).contains(wanted) {
            assert!(began.elapsed() < PATIENCE, "{line}: {wanted} never came");
            sleep(Duration::from_millis(10));
        }
    }

    /// Runs an application on a call and ends the call behind it.
    fn on_a_call(&mut self, application: &str, argument: &str) {
        let reply = self.api("originate null/x &park()");
        let uuid = reply.strip_prefix("+OK ").expect(&reply).trim().to_owned();
        for (name, data) in [(application, argument), ("hangup", "")] {
            let (reply, _) = self.say(&format!(
                "sendmsg {uuid}\ncall-command: execute\nevent-lock: true\nexecute-app-name: {name}\nexecute-app-arg: {data}"
            ));
            assert!(reply.contains("+OK"), "{reply}");
        }
        self.until("show channels count", "0 total");
    }

    /// Tries every way to run a program; the files that were made, by the ways' names.
    fn try_everything(&mut self, switch: &Switch, who: &str) -> Vec<String> {
        let mut ways = Vec::new();
        let mut next = |way: &str| {
            let path = switch.marker(&format!("{who}-{way}"));
            ways.push((way.to_owned(), path.clone()));
            format!("touch {}", path.display())
        };
        for name in ["system", "bg_system", "spawn", "bg_spawn", "spawn_stream"] {
            let command = next(name);
            self.api(&format!("{name} {command}"));
        }
        let command = next("bgapi");
        self.background(&format!("system {command}"));
        let command = next("expand");
        self.api(&format!("expand echo ${{system({command})}}"));
        let command = next("eval");
        self.api(&format!("eval ${{system({command})}}"));
        let command = next("nested");
        self.api(&format!("expand expand system {command}"));
        let command = next("api-bgapi");
        self.api(&format!("bgapi system {command}"));
        let command = next("sched_api");
        self.api(&format!("sched_api +1 none system {command}"));
        let command = next("sendmsg");
        self.on_a_call("system", &command);
        let command = next("sendmsg-expand");
        self.on_a_call("set", &format!("x=${{system({command})}}"));
        let command = next("originate");
        self.api(&format!("originate null/x '&system({command})'"));
        let command = next("execute_on_answer");
        self.api(&format!("originate {{execute_on_answer='system {command}'}}null/x &sleep(3000)"));
        let command = next("api_on_answer");
        self.api(&format!("originate {{api_on_answer='system {command}'}}null/x &hangup()"));
        let command = next("api_hangup_hook");
        self.api(&format!("originate {{api_hangup_hook='system {command}'}}null/x &hangup()"));
        let path = next("mkdir").replacen("touch ", "", 1);
        self.on_a_call("mkdir", &path);
        self.until("show channels count", "0 total");
        let began = Instant::now();
        while self.api("show tasks").contains("api_sched") {
            assert!(began.elapsed() < PATIENCE, "the job never ran");
            sleep(Duration::from_millis(10));
        }
        // What runs beside its caller has been started by now; it gets the time to be seen.
        let began = Instant::now();
        let made =
            |ways: &[(String, PathBuf)]| ways.iter().filter(|(_, path)| path.exists()).count();
        while made(&ways) > 0 && made(&ways) < ways.len() && began.elapsed() < PATIENCE / 6 {
            sleep(Duration::from_millis(10));
        }
        ways.into_iter().filter(|(_, path)| path.exists()).map(|(way, _)| way).collect()
    }
}

fn left(all: usize, made: &[String]) -> String {
    format!("{} of {all}: {made:?}", made.len())
}

const WAYS: usize = 18;

#[test]
fn a_client_elsewhere_starts_no_program_until_that_is_allowed() {
    let Some(outer) = outer_address() else {
        eprintln!("SKIPPED: this machine has no address but loopback");
        return;
    };
    let switch = Switch::start("refused", "");
    let mut here = Client::connect(LOOPBACK, &switch);
    let mut there = Client::connect(outer, &switch);
    // The same ways work from here, so their silence means something.
    let made = here.try_everything(&switch, "here");
    assert_eq!(made.len(), WAYS, "{}", left(WAYS, &made));
    let made = there.try_everything(&switch, "there");
    assert!(made.is_empty(), "{}", left(WAYS, &made));

    for name in ["system", "bg_system", "spawn", "bg_spawn", "spawn_stream"] {
        let reply = there.api(&format!("{name} true"));
        assert!(reply.starts_with(&format!("-ERR {name} is refused")), "{reply}");
        assert!(reply.contains("allow-host-commands"), "{reply}");
    }
    assert!(there.background("system true").contains("-ERR system is refused"));
    for (name, value) in [("execute_on_answer", "set x=1"), ("x", "${system(true)}")] {
        let reply = there.api(&format!("global_setvar {name}={value}"));
        assert!(reply.starts_with("-ERR"), "{reply}");
        assert_eq!(here.api(&format!("global_getvar {name}")), "-ERR no reply\n");
    }
    assert_eq!(there.api("global_setvar plain=value"), "+OK");
    assert!(there.api("alias add status system true").starts_with("-ERR"));
    // A call of ours that they change is theirs from then on.
    let uuid = here.api("originate null/x &park()").trim_start_matches("+OK ").trim().to_owned();
    let path = switch.marker("changed");
    let hook = format!("uuid_setvar {uuid} api_hangup_hook system touch {}", path.display());
    assert!(there.api(&hook).starts_with("+OK"));
    here.api(&format!("uuid_kill {uuid}"));
    here.until("show channels count", "0 total");
    assert!(!path.exists());

    here.until("status", "UP");
    let named = format!("system refused to the event socket client {outer}");
    let began = Instant::now();
    while !switch.log().contains(&named) {
        assert!(began.elapsed() < PATIENCE, "the log does not name {outer}");
        sleep(Duration::from_millis(10));
    }
    // The password of this listener is published.
    let audit = here.api("audit");
    assert!(
        audit.contains("the Event Socket has the password everybody knows and listens on 0.0.0.0"),
        "{audit}"
    );
    assert_eq!(audit.matches("password everybody knows").count(), 1, "{audit}");
    let log = switch.log();
    assert!(
        log.lines()
            .any(|line| line.contains("[ALERT]") && line.contains("event_socket.conf, password")),
        "{log}"
    );
}

#[test]
fn a_client_elsewhere_that_may_starts_programs() {
    let Some(outer) = outer_address() else {
        eprintln!("SKIPPED: this machine has no address but loopback");
        return;
    };
    let switch = Switch::start("allowed", r#"<param name="allow-host-commands" value="true"/>"#);
    let mut there = Client::connect(outer, &switch);
    let made = there.try_everything(&switch, "there");
    assert_eq!(made.len(), WAYS, "{}", left(WAYS, &made));
    assert!(there.api("audit").contains("allow-host-commands"));
}
