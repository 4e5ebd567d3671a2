// JsSIP in a page, as published: registers, calls, is called; for the tests to look at.
import JsSIP from "jssip";

window.start = (server, uri, password) => {
  window.said = [];
  const ua = (window.ua = new JsSIP.UA({ sockets: [new JsSIP.WebSocketInterface(server)], uri, password, register: true, session_timers: false }));
  ua.on("registered", () => said.push("registered"));
  ua.on("newRTCSession", ({ session }) => {
    window.session = session;
    const hear = () => (session.connection.ontrack = (event) => listen(event.streams[0] ?? new MediaStream([event.track])));
    if (session.connection) hear();
    else session.on("peerconnection", hear);
    for (const event of ["accepted", "confirmed", "ended", "failed", "newDTMF"]) session.on(event, (more) => said.push(more?.dtmf?.tone ?? event));
    if (session.direction === "incoming") session.answer({ mediaConstraints: { audio: true, video: false } });
  });
  ua.start();
};

window.dial = (number) => ua.call(number, { mediaConstraints: { audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false }, video: false } });
