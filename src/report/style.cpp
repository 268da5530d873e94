// SPDX-License-Identifier: Apache-2.0
#include "report/style.hpp"

namespace polyphase::report {

const char* const kStyleSheet = R"css(
:root {
  color-scheme: light dark;
  --page: #f7f7f5; --card: #ffffff; --ink: #1d2126; --soft: #5d656f; --line: #e3e4e1; --grid: #ecedea;
  --band0: #f4f5f2; --band1: #ebece8; --accent: #2b62c4;
  --c0: #2b62c4; --c1: #c8601a; --c2: #14857a; --c3: #7a4bc2; --c4: #b03a68; --c5: #5d656f;
  --good: #1c7a43; --busy: #2b62c4; --wait: #9a6700; --bad: #b3261e; --idle: #6b7280;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #111417; --card: #191d21; --ink: #e7e9eb; --soft: #9aa3ad; --line: #2b3138; --grid: #262b31;
    --band0: #1c2126; --band1: #22282e; --accent: #82aaf7;
    --c0: #82aaf7; --c1: #eca06a; --c2: #5cc8bb; --c3: #b79bf0; --c4: #ec8fb3; --c5: #9aa3ad;
    --good: #69cf94; --busy: #82aaf7; --wait: #e3b54e; --bad: #f28b82; --idle: #9aa3ad;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
}
main { max-width: 1180px; margin: 0 auto; padding: 40px 24px 64px; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 14px; margin-bottom: 24px; }
h1 { font-size: 30px; line-height: 1.2; letter-spacing: -0.02em; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 19px; letter-spacing: -0.01em; margin: 44px 0 14px; }
h3 { font-size: 16px; margin: 0; overflow-wrap: anywhere; }
h4 { font-size: 13px; font-weight: 600; margin: 14px 0 2px; color: var(--soft); }
p { margin: 0 0 12px; }
.soft, header p { color: var(--soft); }
header p { flex-basis: 100%; margin: 0; font-size: 14px; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: 12.5px; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; }
.fact b { display: block; font-size: 25px; line-height: 1.25; font-weight: 600; letter-spacing: -0.02em; font-variant-numeric: tabular-nums; }
.fact span { color: var(--soft); font-size: 13px; }
.state { font-size: 12px; font-weight: 600; white-space: nowrap; color: var(--idle); }
.state::before { content: ""; display: inline-block; width: 7px; height: 7px; border-radius: 50%; margin-right: 6px; background: currentColor; }
.state.done { color: var(--good); } .state.running { color: var(--busy); } .state.interrupted { color: var(--wait); }
.state.failed { color: var(--bad); } .state.kept { color: var(--good); } .state.rejected, .state.tried { color: var(--wait); }
.scroll { overflow-x: auto; padding: 4px 0; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; font-weight: 600; font-size: 12.5px; color: var(--soft); }
th, td { padding: 9px 8px; vertical-align: top; white-space: nowrap; }
td { border-top: 1px solid var(--line); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
.metric { display: flex; justify-content: space-between; gap: 12px; font-variant-numeric: tabular-nums; }
.metric span { color: var(--soft); }
.gains { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 16px; }
.gain { display: grid; grid-template-columns: minmax(90px, 38%) 1fr auto; gap: 4px 12px; align-items: center; margin-top: 12px; font-size: 14px; }
.gain small { display: block; color: var(--soft); font-size: 12px; }
.gain div { overflow-wrap: anywhere; line-height: 1.3; }
.gain b { text-align: right; white-space: nowrap; min-width: 56px; font-weight: 600; font-variant-numeric: tabular-nums; }
.track { height: 12px; border-radius: 3px; background: var(--grid); }
.track i { display: block; height: 100%; border-radius: 3px; background: var(--accent); opacity: 0.55; }
.best .track i { opacity: 1; }
.phases { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 352px), 1fr)); gap: 16px; align-items: start; }
.phases .head { display: flex; justify-content: space-between; gap: 10px; align-items: baseline; }
.phases p { font-size: 13px; margin: 2px 0 0; }
ul.tree { list-style: none; margin: 0; padding-left: 0; }
ul.tree ul.tree { padding-left: 22px; border-left: 2px solid var(--line); margin-left: 6px; }
.round { padding: 10px 0; }
.round .head { display: flex; flex-wrap: wrap; gap: 4px 14px; align-items: baseline; }
.round p { font-size: 13px; margin: 2px 0 0; overflow-wrap: anywhere; }
.job { display: grid; grid-template-columns: minmax(150px, 22%) 1fr 76px; gap: 2px 14px; align-items: center; padding: 7px 0; font-size: 13px; }
.job + .job { border-top: 1px solid var(--line); }
.job > div { line-height: 1.3; } .job small { display: block; color: var(--soft); font-size: 12px; overflow-wrap: anywhere; }
.job b { text-align: right; font-weight: 600; font-variant-numeric: tabular-nums; }
.job .track { position: relative; height: 14px; }
.job .track i { position: absolute; top: 0; min-width: 3px; background: var(--idle); opacity: 0.75; }
.job .track i.done { background: var(--good); } .job .track i.running { background: var(--busy); }
.job .track i.interrupted { background: var(--wait); } .job .track i.failed { background: var(--bad); }
.job .track u { position: absolute; top: 0; width: 1px; height: 100%; background: var(--card); }
svg { display: block; width: 100%; height: auto; overflow: hidden; }
.narrow { display: none; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 12.5px; color: var(--soft); margin: 6px 0 4px; }
.key { display: inline-flex; align-items: center; gap: 6px; }
.key svg { width: 18px; height: 8px; flex: none; }
text { font: 11px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; font-variant-numeric: tabular-nums; fill: var(--soft); }
text.label { fill: var(--ink); font-weight: 600; }
.grid { stroke: var(--grid); } .axis { stroke: var(--soft); stroke-opacity: 0.5; }
.band0 { fill: var(--band0); } .band1 { fill: var(--band1); }
path, .key line { fill: none; stroke-linejoin: round; stroke-linecap: round; }
.solid { stroke-width: 2; } .thin { stroke-width: 1.2; stroke-dasharray: 3 3; } .faint { stroke-width: 1; opacity: 0.25; } .level { stroke-width: 1; stroke-dasharray: 8 5; opacity: 0.7; }
.dot { stroke-width: 1.6; fill: var(--card); } .hover { fill: transparent; }
.c0 { stroke: var(--c0); } .c1 { stroke: var(--c1); } .c2 { stroke: var(--c2); }
.c3 { stroke: var(--c3); } .c4 { stroke: var(--c4); } .c5 { stroke: var(--c5); }
.notice { border-left: 3px solid var(--wait); padding: 2px 0 2px 10px; margin: 10px 0 0; font-size: 13px; overflow-wrap: anywhere; }
.notice.bad { border-color: var(--bad); }
details { margin-top: 12px; font-size: 13px; }
summary { cursor: pointer; color: var(--soft); }
summary:hover { color: var(--ink); }
details ul { margin: 6px 0 8px; padding-left: 18px; max-height: 220px; overflow: auto; }
details li { overflow-wrap: anywhere; }
.event { display: grid; grid-template-columns: 84px 1fr; gap: 2px 10px; margin-top: 6px; overflow-wrap: anywhere; }
pre { margin: 0; overflow-x: auto; line-height: 1.55; }
footer { margin-top: 44px; color: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
@media (max-width: 720px) {
  main { padding: 24px 14px 40px; }
  h1 { font-size: 25px; }
  .facts { grid-template-columns: 1fr 1fr; }
  .fact:last-child:nth-child(odd) { grid-column: 1 / -1; }
  .fact b { font-size: 21px; }
  .card { padding: 14px; }
  .wide { display: none; } .narrow { display: block; }
  .job { grid-template-columns: 1fr 76px; } .job .track { grid-column: 1 / -1; grid-row: 2; }
}
@media print { body { background: #fff; } .card { break-inside: avoid; } }
)css";

}  // namespace polyphase::report
