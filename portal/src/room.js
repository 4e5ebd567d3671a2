// A room: a conference of the switch, joined by its name. Phones join the same room by its number.
import { button, element, login, statusText, time } from "./page.js";

const room = decodeURIComponent(location.pathname.split("/").pop());

login(`Room ${room}`, (phone) => {
  const main = document.querySelector("main");
  const clock = element("span", { className: "quiet" });
  const level = element("meter", { min: 0, max: 1, value: 0, ariaLabel: "speech" });
  phone.addEventListener("change", draw);
  setInterval(() => phone.calls[0] && (clock.textContent = time(phone.calls[0])), 500);
  draw();

  function draw() {
    const call = phone.calls[0];
    const status = element("p", { id: "status", className: phone.status === "online" ? "good" : "quiet", textContent: statusText(phone) });
    if (!call) {
      main.replaceChildren(status, element("div", { className: "card" }, element("h1", { textContent: room }),
        button("Join", () => phone.dial(room), { className: "large", disabled: phone.status !== "online" })));
      return;
    }
    if (call.speaker && !call.watched) watch(call);
    main.replaceChildren(status, element("div", { className: "card call" }, element("h1", { textContent: room }),
      element("p", { className: "state", textContent: call.state === "active" ? "in the room" : "joining …" }), clock, level,
      element("div", { className: "row" }, button(call.muted ? "Unmute" : "Mute", () => call.mute(!call.muted)),
        button("Leave", () => call.hangUp(), { className: "bad" }))));
  }

  // Shows how loud the room is.
  function watch(call) {
    call.watched = true;
    const context = new AudioContext();
    const analyser = context.createAnalyser();
    context.createMediaStreamSource(call.speaker.srcObject).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const look = setInterval(() => {
      if (call.state === "ended") {
        clearInterval(look);
        return context.close();
      }
      analyser.getFloatTimeDomainData(samples);
      level.value = Math.min(1, Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length) * 4);
    }, 200);
  }
});
