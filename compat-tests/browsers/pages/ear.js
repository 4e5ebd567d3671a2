// What a page hears: the loudest frequency of a stream, 0 for silence.
let analyser;

function listen(stream) {
  const speaker = document.createElement("audio");      // Chromium gives a remote stream to WebAudio only while it plays
  speaker.srcObject = stream;
  speaker.muted = true;
  speaker.play();
  const context = new AudioContext();
  analyser = context.createAnalyser();
  analyser.fftSize = 8192;
  analyser.smoothingTimeConstant = 0;
  context.createMediaStreamSource(stream).connect(analyser);
}

function heard() {
  if (!analyser) return 0;
  const levels = new Float32Array(analyser.frequencyBinCount);
  analyser.getFloatFrequencyData(levels);
  const loudest = levels.reduce((best, level, index) => (level > levels[best] ? index : best), 0);
  return levels[loudest] > -60 ? (loudest * analyser.context.sampleRate) / analyser.fftSize : 0;
}
