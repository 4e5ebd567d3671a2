// Makes dist/: the folder that `portal-dir` of http_api.conf names.
import { build } from "esbuild";
import { cpSync, mkdirSync, rmSync } from "node:fs";

rmSync("dist", { recursive: true, force: true });
mkdirSync("dist");
cpSync("pages", "dist", { recursive: true });
cpSync("node_modules/sip.js/LICENSE.md", "dist/sip.js-LICENSE.txt");
await build({
  entryPoints: ["src/customer.js", "src/agent.js", "src/operator.js", "src/room.js"],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  outdir: "dist",
  legalComments: "linked",
});
