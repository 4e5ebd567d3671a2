//! Checks a configuration: `cargo run --example check -- DIR`.
fn main() {
    let dir = std::env::args().nth(1).unwrap_or_default();
    let core = [("local_ip_v4", "192.0.2.10"), ("sounds_dir", "/usr/share/freeswitch/sounds")];
    let globals = core.into_iter().collect();
    let loaded = dialplan_xml::load(dir.as_ref(), globals, &Default::default());
    let catalogue = dialplan_xml::catalogue::Catalogue::new();
    let options = dialplan_xml::check::CheckOptions {
        catalogue: &catalogue,
        own_address: &|_| true,
        file_exists: &|path| path.exists(),
        no_mp3: None,
    };
    print!("{}", dialplan_xml::check::check(loaded, &options).to_text(true));
}
