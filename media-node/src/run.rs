//! The wiring: configuration, engines, listeners, signals, the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dialplan_xml::Globals;
use esl_server::event::{Event, EventName};
use esl_server::server::{Listener, ServerConfig, ServerHandle};
use esl_server::{CoreInfo, EventBus};

use crate::boot::{Context, Fatal, LogControl, Request, Signals};
use crate::guesses::Door;
use crate::sofia::Sofia;
use crate::sofia::outbound::SofiaEndpoint;
use crate::switch::{EslFace, Parts, Stop, Switch};
use crate::{clock, config};

/// Runs the switch until it is told to stop.
///
/// # Errors
/// [`Fatal`] when it cannot start: an unusable configuration, or a listener that must not fail.
pub async fn run(context: Context) -> Result<(), Fatal> {
    let mut globals = Globals::new();
    for (name, value) in &context.globals {
        globals.set(name, value);
    }
    let core_uuid = clock::new_uuid();
    globals.set("core_uuid", &core_uuid);
    let loaded =
        config::load(&context.dirs.root_path(), globals, &context.options.allow_preprocess());
    config::log_diagnostics(&loaded.diagnostics);
    let Some(conf) = loaded.config else { return Err(Fatal::config(loaded.status)) };
    for line in conf.acl.describe() {
        crate::log_notice!("{line}");
    }
    // A list without modules means all of them (reference behaviour).
    let listed = &conf.modules.modules;
    let mod_logfile = listed.is_empty() || listed.iter().any(|load| load.module == "mod_logfile");
    context.log.configure(&conf.tree, mod_logfile, &context.dirs.log_dir);
    let bus = EventBus::new(core_info(&core_uuid, &conf, &loaded.globals));
    let media = media::Engine::start(media::EngineConfig {
        workers: None,
        raise_priority: !context.options.normal_priority,
        port_min: conf.switch.rtp_start_port,
        port_max: conf.switch.rtp_end_port,
    })
    .map_err(|error| Fatal::new(format!("Cannot start the media engine: {error}")))?;
    let switch = Switch::new(Parts {
        bus,
        logs: Arc::clone(&context.log_hub),
        media,
        config: conf,
        globals: loaded.globals,
        stores: crate::store::Stores::default(),
        dirs: context.dirs.clone(),
        allow_preprocess: context.options.allow_preprocess(),
    });
    crate::endpoint::register(&switch);
    let sofia = Sofia::new(Arc::clone(&switch));
    switch.set_sofia(Arc::clone(&sofia));
    switch.add_endpoint(Arc::new(SofiaEndpoint(Arc::clone(&sofia))));
    crate::modules::load_configured(&switch).map_err(Fatal::config)?;
    config::ask_bindings(&switch).await;
    if switch.modules().is_loaded("mod_sofia") {
        sofia.start_all().await;
    }
    let event_socket = EventSocket::open(&switch).await?;
    crate::heartbeat::start(&switch);
    let Context { ready, mut signals, log, identity, options, .. } = context;
    identity.take().map_err(|error| Fatal::new(error.to_string()))?;
    ready.announce();
    crate::log_notice!("Ready after {} ms", switch.started.elapsed().as_millis());
    fire_info(&switch, EventName::Startup, "System Ready");
    tokio::spawn(run_startup_command(Arc::clone(&switch)));
    wait_for_end(&switch, &mut signals, &log, options.drain()).await;
    fire_info(&switch, EventName::Shutdown, "System Shutting Down");
    end_calls(&switch).await;
    sofia.leave().await;
    event_socket.shutdown().await;
    crate::log_notice!("The switch has ended");
    Ok(())
}

/// The command line in the global variable `api_on_startup`, if there is one.
async fn run_startup_command(switch: Arc<Switch>) {
    let Some(line) = switch.global("api_on_startup") else { return };
    let (command, args) = line.split_once(' ').unwrap_or((&line, ""));
    match switch.run_api(command, args, None).await {
        Some(output) => tracing::info!("Startup command [{line}] executed: {}", output.trim_end()),
        None => tracing::error!("Startup command [{line}]: no such command"),
    }
}

/// What every event says about the switch.
pub(crate) fn core_info(core_uuid: &str, conf: &config::Config, globals: &Globals) -> CoreInfo {
    let hostname = globals.get("hostname").unwrap_or("localhost").to_owned();
    CoreInfo {
        core_uuid: core_uuid.to_owned(),
        switchname: conf.switch.switchname.clone().unwrap_or_else(|| hostname.clone()),
        hostname,
        ipv4: globals.get("local_ip_v4").unwrap_or("127.0.0.1").to_owned(),
        ipv6: globals.get("local_ip_v6").unwrap_or("::1").to_owned(),
    }
}

/// The Event Socket, or the attempts to open it.
enum EventSocket {
    /// It answers.
    Open(ServerHandle),
    /// Its port is taken; it is tried again until it is free. Everything else works meanwhile.
    Opening(tokio::task::JoinHandle<Option<ServerHandle>>),
    /// Its port was taken, and `stop-on-bind-error` gave up.
    GivenUp,
}

impl EventSocket {
    async fn open(switch: &Arc<Switch>) -> Result<Self, Fatal> {
        let conf = switch.config.load().event_socket.clone();
        let config = ServerConfig {
            listen: address(&conf.listen_ip, conf.listen_port).await?,
            password: conf.password.clone(),
            acls: conf.apply_inbound_acl.clone(),
            stop_on_bind_error: conf.stop_on_bind_error,
            guard: Arc::clone(switch.guesses.at(Door::EventSocket)),
            ..ServerConfig::default()
        };
        let face = Arc::new(EslFace(Arc::clone(switch)));
        Ok(match Listener::bind(config.clone()).await {
            Ok(listener) => Self::Open(listener.serve(face)),
            Err(error) if config.stop_on_bind_error => {
                tracing::error!("Socket Error! {error}; the Event Socket stays closed");
                Self::GivenUp
            }
            Err(_) => Self::Opening(tokio::spawn(async move {
                let listener = Listener::bind_patiently(config).await.ok()?;
                tracing::info!("The Event Socket is open");
                Some(listener.serve(face))
            })),
        })
    }

    async fn shutdown(self) {
        match self {
            Self::Open(handle) => handle.shutdown().await,
            Self::Opening(task) if task.is_finished() => {
                if let Ok(Some(handle)) = task.await {
                    handle.shutdown().await;
                }
            }
            Self::Opening(task) => task.abort(),
            Self::GivenUp => {}
        }
    }
}

/// Where `listen-ip` says to listen; it may be a name.
async fn address(ip: &str, port: u16) -> Result<SocketAddr, Fatal> {
    let found = tokio::net::lookup_host((ip, port)).await;
    found
        .ok()
        .and_then(|mut all| all.next())
        .ok_or_else(|| Fatal::new(format!("event_socket.conf: listen-ip is no address: {ip}")))
}

fn fire_info(switch: &Switch, name: EventName, info: &str) {
    let mut event = Event::new(name);
    event.push("Event-Info", info);
    esl_server::fire!(switch.bus, event);
}

/// Waits for a signal or a command that ends the switch. With `drain`, SIGTERM takes no new calls and waits that
/// long for the others; a second one does not wait.
async fn wait_for_end(
    switch: &Arc<Switch>,
    signals: &mut Signals,
    log: &LogControl,
    drain: Option<Duration>,
) {
    let mut deadline: Option<tokio::time::Instant> = None;
    loop {
        let out_of_patience = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            request = signals.next() => match (request, drain) {
                (Request::Hangup, _) => hang_up_logs(switch, log),
                (Request::Terminate, Some(patience)) if deadline.is_none() => {
                    tracing::info!("Waiting for {} channels to end", switch.channel_count());
                    // A century is for ever, and no instant overflows.
                    let patience = patience.min(Duration::from_secs(100 * 365 * 86_400));
                    deadline = Some(tokio::time::Instant::now() + patience);
                    switch.stop(Stop::Elegant);
                }
                (request @ (Request::Terminate | Request::Interrupt), _) => {
                    crate::log_notice!("Stopping: {request:?}");
                    return;
                }
            },
            how = switch.stopped() => {
                tracing::info!("Stopping: {how:?}");
                if how == Stop::Restart {
                    crate::boot::restart_after_end();
                }
                if how != Stop::Elegant {
                    return;
                }
            }
            () = out_of_patience => return,
        }
    }
}

/// SIGHUP: log files rotate, and whoever keeps files of their own hears of it. The configuration is not read again
/// (reference behaviour).
fn hang_up_logs(switch: &Switch, log: &LogControl) {
    log.hangup();
    let mut event = Event::new(EventName::Trap);
    event.push("Trapped-Signal", "HUP");
    esl_server::fire!(switch.bus, event);
}

/// Calls get this long to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

async fn end_calls(switch: &Arc<Switch>) {
    for channel in switch.channels() {
        channel.hangup(crate::call::Cause::SYSTEM_SHUTDOWN);
    }
    let gone = async {
        while switch.channel_count() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let _late = tokio::time::timeout(GOODBYE, gone).await;
}
