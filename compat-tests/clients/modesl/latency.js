// latency.js PORT PASSWORD [COUNT]: how long an `api` reply takes, one command after the other, as modesl sees it.
const esl = require('modesl');
const [port, password, count] = [Number(process.argv[2]), process.argv[3], Number(process.argv[4] || 500)];
const conn = new esl.Connection('127.0.0.1', port, password, () => {
  let left = count; const times = [];
  const next = () => {
    if (!left--) { times.sort((a,b)=>a-b); const p = q => times[Math.floor(times.length*q)].toFixed(2);
      console.log(`median ${p(0.5)} ms, p99 ${p(0.99)} ms over ${count}`); process.exit(0); }
    const t = process.hrtime.bigint();
    conn.api('hostname', () => { times.push(Number(process.hrtime.bigint() - t) / 1e6); next(); });
  };
  next();
});
