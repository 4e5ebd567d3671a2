//! `voicemail rss`: a box as a feed for programs that read such.

use base::xml::in_xml;
use switch_core::api::ApiCall;

use crate::commands::told;
use crate::letter::kind_of;
use crate::mail::clock_time;
use crate::store::Message;
use crate::web;

/// `rss host port uri user domain`.
pub(crate) async fn feed(call: &ApiCall, words: &[String]) -> String {
    let [_, host, port, uri, user, domain] = words else { return String::new() };
    let Some(boxes) = web::profile_of(call, domain).await else {
        return "Can't find profile.\n".into();
    };
    let messages = match boxes.store.listed(user, domain, None).await {
        Ok(messages) => messages,
        Err(error) => return told(&error),
    };
    let base = format!("http://{host}:{port}{uri}");
    let mut items = String::new();
    for message in &messages {
        let created = date(call, message.created).await;
        let heard = match message.read {
            0 => "never".to_owned(),
            read => date(call, read).await,
        };
        items.push_str(&item(message, &base, &created, &heard).await);
    }
    format!(
        "Content-type: text/xml\n\n<?xml version=\"1.0\"?>\n\
         <rss xmlns:itunes=\"http://www.itunes.com/dtds/podcast-1.0.dtd\" \
         xmlns:fsvm=\"http://www.freeswitch.org/dtd/fsvm.dtd\" version=\"2.0\">\n  <channel>\n    \
         <title>FreeSWITCH Voicemail for {}@{}</title>\n    <link>http://www.freeswitch.org</link>\n    \
         <description>http://www.freeswitch.org</description>\n    <ttl>15</ttl>\n{items}  </channel>\n</rss>\n",
        in_xml(user),
        in_xml(domain)
    )
}

pub(crate) async fn date(call: &ApiCall, epoch: i64) -> String {
    let text = format!("{epoch}|%a, %e %b %Y %T %z");
    Box::pin(call.switch.run_api("strftime", &text, None)).await.unwrap_or_default()
}

async fn item(message: &Message, base: &str, created: &str, heard: &str) -> String {
    let name = message.path.rsplit('/').next().unwrap_or_default();
    let (get, delete) = (format!("{base}/get/{name}"), format!("{base}/del/{name}"));
    let length = tokio::fs::metadata(&message.path).await.map_or(0, |file| file.len());
    let priority = if message.is_urgent() { "urgent" } else { "normal" };
    let duration = clock_time(message.seconds);
    let description = format!(
        "Priority: {priority}<br>Last Heard: {heard}<br>Duration: {duration}<br>\
         <a href={delete}>Delete This Message</a><br>"
    );
    format!(
        "    <item>\n      <title>Message from {} {} on {created}</title>\n      \
         <description>{}</description>\n      <fsvm:rmlink>{}</fsvm:rmlink>\n      <pubDate>{created}</pubDate>\n      \
         <itunes:duration>{duration}</itunes:duration>\n      <guid>{get}</guid>\n      <link>{get}</link>\n      \
         <enclosure url=\"{get}\" length=\"{length}\" type=\"{}\"/>\n    </item>\n",
        in_xml(&message.cid_name),
        in_xml(&message.cid_number),
        in_xml(&description),
        in_xml(&delete),
        kind_of(name),
        get = in_xml(&get),
    )
}
