//! Modules come and go in a switch without calls: what they provide can be found while they are loaded, and only then.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use boot::cli::DirOptions;
use boot::dirs::{Surroundings, resolve_in};
use dialplan_xml::Globals;
use esl_server::{CoreInfo, EventBus, LogHub};
use media_node::declarations::catalogue;
use media_node::linked::linked;
use switch_core::contract::Module;
use switch_core::modules::{load, unload};
use switch_core::store::Stores;
use switch_core::switch::{Parts, Switch};

const DOCUMENT: &str = r#"<document type="freeswitch/xml">
  <section name="configuration">
    <configuration name="xml_curl.conf">
      <bindings>
        <binding name="one"><param name="gateway-url" value="http://127.0.0.1:9/" bindings="directory"/></binding>
      </bindings>
    </configuration>
    <configuration name="amqp.conf"/>
    <configuration name="callcenter.conf"/>
    <configuration name="easyroute.conf"/>
    <configuration name="fifo.conf"/>
    <configuration name="format_cdr.conf"><profiles><profile name="default"/></profiles></configuration>
    <configuration name="hiredis.conf"><profiles/></configuration>
    <configuration name="httapi.conf">
      <profiles>
        <profile name="default"><params><param name="gateway-url" value="http://127.0.0.1:9/"/></params></profile>
      </profiles>
    </configuration>
    <configuration name="lcr.conf"/>
    <configuration name="nibblebill.conf"/>
    <configuration name="voicemail.conf"/>
    <configuration name="webhook.conf">
      <settings>
        <param name="url" value="http://127.0.0.1:9/"/>
        <param name="secret" value="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"/>
      </settings>
    </configuration>
  </section>
</document>"#;

/// A switch that has read [`DOCUMENT`] and loaded nothing.
fn switch(home: &Path) -> Arc<Switch> {
    std::fs::create_dir_all(home.join("conf")).expect("a directory");
    std::fs::write(home.join("conf/freeswitch.xml"), DOCUMENT).expect("a file");
    let options = DirOptions { base: Some(home.to_owned()), ..DirOptions::default() };
    let around = Surroundings { cwd: home, exe: None, exists: &|path| path.exists() };
    let dirs = resolve_in(&options, &around);
    let modules = linked();
    let known = Arc::new(catalogue(&modules));
    let allow_preprocess = BTreeSet::new();
    let loaded =
        switch_core::config::load(&dirs.root_path(), Globals::new(), &allow_preprocess, &known);
    let info = CoreInfo {
        core_uuid: "core".into(),
        hostname: "here".into(),
        switchname: "here".into(),
        ipv4: String::new(),
        ipv6: String::new(),
    };
    let engine = media::EngineConfig { workers: Some(1), ..media::EngineConfig::default() };
    Switch::new(Parts {
        bus: EventBus::new(info),
        logs: LogHub::new(),
        media: media::Engine::start(engine).expect("a media engine"),
        config: loaded.config.expect("a configuration"),
        globals: loaded.globals,
        stores: Stores::default(),
        dirs,
        allow_preprocess,
        no_sql: true,
        modules,
        known,
    })
}

/// Everything that can be found and belongs to a module.
fn found(switch: &Switch, module: &str) -> BTreeSet<String> {
    let apps = switch.linked().applications().flatten().filter(|app| app.module == module);
    let apis = switch.linked().commands().flatten().filter(|api| api.module == module);
    let mut found: BTreeSet<String> = apps
        .filter(|app| switch.app(app.name).is_some())
        .map(|app| format!("application {}", app.name))
        .collect();
    found.extend(
        apis.filter(|api| switch.api(api.name).is_some()).map(|api| format!("api {}", api.name)),
    );
    let endpoints = switch.endpoints();
    found.extend(
        endpoints
            .iter()
            .filter(|(_, of)| *of == module)
            // Found by any spelling, shown in the module's own (`SIP`).
            .map(|(name, _)| format!("endpoint {}", name.to_ascii_lowercase())),
    );
    found
}

/// Everything a module says it provides.
fn provided(switch: &Switch, module: &dyn Module) -> BTreeSet<String> {
    let name = module.name();
    let apps = switch.linked().applications().flatten().filter(|app| app.module == name);
    let apis = switch.linked().commands().flatten().filter(|api| api.module == name);
    let mut all: BTreeSet<String> = apps.map(|app| format!("application {}", app.name)).collect();
    all.extend(apis.map(|api| format!("api {}", api.name)));
    all.extend(
        module
            .provides()
            .endpoints
            .iter()
            .map(|kind| format!("endpoint {}", kind.name.to_ascii_lowercase())),
    );
    all
}

fn home(name: &str) -> base::scratch::Scratch {
    base::scratch::Scratch::new(name)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_module_provides_comes_and_goes_with_it() {
    let home = home("modules-come-and-go");
    let switch = switch(home.path());
    let modules: Vec<_> = switch.linked().iter().collect();
    assert!(modules.len() > 15, "{}", modules.len());
    for module in &modules {
        let name = module.name();
        assert!(found(&switch, name).is_empty(), "{name} is there before it is loaded");
        assert!(load(&switch, name).await, "{name} cannot be loaded");
        assert_eq!(found(&switch, name), provided(&switch, *module), "{name}");
        assert!(!load(&switch, name).await, "{name} is loaded twice");
    }
    for module in &modules {
        let name = module.name();
        match unload(&switch, name).await {
            Ok(()) => {
                assert!(!module.stays(), "{name} is one of those that stay");
                assert!(found(&switch, name).is_empty(), "{name} left something behind");
                assert_eq!(unload(&switch, name).await, Err("No such module!"));
            }
            Err(why) => {
                assert!(module.stays(), "{name} does not go: {why}");
                assert_eq!(why, "Module is not unloadable");
                assert_eq!(found(&switch, name), provided(&switch, *module), "{name}");
            }
        }
    }
    for module in modules.iter().filter(|module| !module.stays()) {
        assert!(load(&switch, module.name()).await, "{} does not come back", module.name());
        assert_eq!(found(&switch, module.name()), provided(&switch, *module));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_module_that_is_not_part_of_the_switch_is_not_loaded() {
    let home = home("modules-unknown");
    let switch = switch(home.path());
    assert!(!load(&switch, "mod_skinny").await);
    assert_eq!(unload(&switch, "mod_skinny").await, Err("No such module!"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_of_xml_is_asked_only_while_its_module_is_loaded() {
    let home = home("modules-xml");
    let switch = switch(home.path());
    assert!(!switch.xml.serve("directory"));
    assert!(load(&switch, "mod_xml_curl").await);
    assert!(switch.xml.serve("directory") && !switch.xml.serve("dialplan"));
    assert_eq!(unload(&switch, "mod_xml_curl").await, Ok(()));
    assert!(!switch.xml.serve("directory"));
}

#[tokio::test(flavor = "multi_thread")]
async fn state_of_a_module_is_one_for_each_switch() {
    #[derive(Default)]
    struct Count(std::sync::atomic::AtomicU32);
    let (one, other) = (home("modules-slot-one"), home("modules-slot-other"));
    let (one, other) = (switch(one.path()), switch(other.path()));
    one.module::<Count>().0.store(7, std::sync::atomic::Ordering::Relaxed);
    let of =
        |switch: &Switch| switch.module::<Count>().0.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!((of(&one), of(&other)), (7, 0));
}
