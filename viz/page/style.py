"""The page's style: a well-set paper on screen, phone and print. Light, dark and print themes."""

from viz.page.tokens import LEVEL_RULES, level_variables
from viz.theme import GREEN, GRID, INK, MONO, MUTED, OCHRE, PAPER, SANS, SERIF, VERMILION


def _variables(dark: bool) -> str:
    """The theme's colours as CSS custom properties."""
    wash, code, link = (
        ("#1f242a", "#14171b", "#8fb8e6") if dark else ("#f6f4ee", "#f3f1ea", "#1f5f99")
    )
    return (
        f"color-scheme:{'dark' if dark else 'light'};--ink:{INK[dark]};--muted:{MUTED[dark]};"
        f"--paper:{PAPER[dark]};--rule:{GRID[dark]};--wash:{wash};--code:{code};--link:{link};"
        f"--edge:{'#0009' if dark else '#0003'};{level_variables(dark)}"
    )


CSS = f"""
:root {{ {_variables(False)} }}
@media (prefers-color-scheme: dark) {{ :root:not([data-theme=light]) {{ {_variables(True)} }} }}
:root[data-theme=dark] {{ {_variables(True)} }}
* {{ box-sizing: border-box; }}
html {{ scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }}
body {{ margin: 0; background: var(--paper); color: var(--ink);
  font: 17px/1.6 {SERIF}; overflow-wrap: anywhere; }}
a {{ color: var(--link); text-decoration-thickness: 1px; text-underline-offset: 3px; }}
:focus-visible {{ outline: 2px solid var(--link); outline-offset: 3px; border-radius: 2px; }}
.skip {{ position: absolute; left: -99em; }}
.skip:focus {{ left: 1em; top: 1em; background: var(--paper); padding: .5em 1em; z-index: 9; }}
.page {{ max-width: 78rem; margin: 0 auto; padding: 0 1.5rem 4rem; display: grid;
  grid-template-columns: 13rem minmax(0, 1fr); column-gap: 3.5rem; }}
header {{ grid-column: 2; padding: 3.2rem 0 1.6rem; }}
.verdict, .body {{ grid-column: 2; min-width: 0; }}
.body {{ counter-reset: section; }}
nav {{ grid-column: 1; grid-row: 1 / span 3; padding-top: 3.4rem; }}
footer {{ margin-top: 3.5rem; padding-top: 1rem; border-top: 1px solid var(--rule);
  color: var(--muted); font: 13px/1.6 {SANS}; }}
.top {{ display: flex; justify-content: space-between; align-items: baseline; gap: 1rem; }}
.kicker {{ margin: 0; color: var(--muted); font: 600 12.5px/1.5 {SANS}; letter-spacing: .09em;
  text-transform: uppercase; }}
h1 {{ margin: .35rem 0 0; font-size: clamp(1.65rem, 1.2rem + 2vw, 2.4rem); line-height: 1.2;
  font-weight: 600; letter-spacing: -.01em; text-wrap: balance; }}
h2 {{ margin: 3.6rem 0 .7rem; font-size: 1.42rem; line-height: 1.3; font-weight: 600;
  scroll-margin-top: 1.2rem; }}
section[data-numbered] > h2::before {{ counter-increment: section;
  content: counter(section) "\\2002"; color: var(--muted); font-weight: 400; }}
h3 {{ margin: 2.4rem 0 .6rem; font-size: 1.12rem; line-height: 1.35; font-weight: 600; }}
h4 {{ margin: 1.8rem 0 .5rem; font-size: 1rem; line-height: 1.35; font-weight: 600; }}
details.part {{ margin: 1.1rem 0; border-top: 1px solid var(--rule); padding-top: .5rem; }}
details.part > summary > * {{ display: inline; margin: 0; color: var(--ink);
  font-family: {SERIF}; }}
details.part[open] > summary {{ margin-bottom: .6rem; }}
details.part + section.part > h3 {{ margin-top: 2rem; }}
p {{ margin: 0 0 1em; max-width: 42rem; text-wrap: pretty; }}
nav > div {{ position: sticky; top: 2rem; font: 13.5px/1.45 {SANS}; 
  border-top: 1px solid var(--rule); padding-top: .8rem; }}
nav ol {{ margin: .5rem 0 0; padding: 0; list-style: none; counter-reset: toc; }}
nav li {{ counter-increment: toc; margin: .1rem 0; }}
nav li a {{ display: flex; gap: .6em; padding: .28rem 0; color: var(--muted);
  text-decoration: none; }}
nav li a::before {{ content: counter(toc); min-width: 1.35em; font-variant-numeric: tabular-nums; }}
nav a:hover {{ color: var(--ink); }}
.verdict {{ border: 1px solid var(--rule); border-left: 4px solid var(--tone);
  background: var(--wash); padding: 1.35rem 1.6rem 1.2rem; border-radius: 3px; }}
.tone-gate {{ --tone: {VERMILION}; }} .tone-none {{ --tone: {GREEN}; }}
.tone-unclear {{ --tone: {OCHRE}; }}
.verdict h2 {{ margin: .1rem 0 .35rem; font-size: 1.62rem; }}
.verdict h2 span {{ color: var(--tone); margin-right: .45em; font-size: .8em; }}
.verdict > p:not(.kicker) {{ font-size: 1.06rem; max-width: 46rem; margin-bottom: 1.1rem; }}
dl {{ margin: 0; padding-top: 1rem; border-top: 1px solid var(--rule); display: grid;
  gap: .8rem 2rem;
  grid-template-columns: repeat(auto-fill, minmax(min(11.5rem, 100%), 1fr)); }}
dt {{ color: var(--muted); font: 12.5px/1.4 {SANS}; }}
dd {{ margin: .1rem 0 0; font: 500 15px/1.4 {SANS}; font-variant-numeric: tabular-nums; }}
button {{ font: 500 12.5px/1 {SANS}; color: var(--muted); background: none; cursor: pointer;
  border: 1px solid var(--rule); border-radius: 3px; padding: .5em .75em; white-space: nowrap; }}
button:hover {{ color: var(--ink); border-color: var(--muted); }}
.plots {{ display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 2rem 1.6rem;
  margin: 1.6rem 0; align-items: start; }}
figure {{ grid-column: 1 / -1; margin: 0; min-width: 0; }}
figure.half:not(.alone) {{ grid-column: auto; }}
figure.alone {{ max-width: 36rem; }}
figcaption {{ border-top: 2px solid var(--ink); padding-top: .5rem; margin-bottom: .5rem; }}
figcaption strong {{ display: block; font: 600 15px/1.4 {SANS}; }}
figcaption span {{ display: block; color: var(--muted); font: 13px/1.5 {SANS}; }}
.plot {{ width: 100%; }}
.acts {{ display: flex; flex-wrap: wrap; gap: .4rem; margin-top: .5rem; }}
/* A shade at an edge beyond which a table goes on: covers move with the table, shades do not. */
.wide {{ overflow-x: auto; margin: 1.4rem 0; background:
  linear-gradient(to right, var(--paper) 40%, transparent) 0 0 / 2.4rem 100% no-repeat local,
  linear-gradient(to left, var(--paper) 40%, transparent) 100% 0 / 2.4rem 100% no-repeat local,
  linear-gradient(to right, var(--edge), transparent) 0 0 / .8rem 100% no-repeat scroll,
  linear-gradient(to left, var(--edge), transparent) 100% 0 / .8rem 100% no-repeat scroll; }}
table {{ border-collapse: collapse; font: 14px/1.45 {SANS}; font-variant-numeric: tabular-nums;
  border-top: 2px solid var(--ink); border-bottom: 1px solid var(--ink); overflow-wrap: normal; }}
caption {{ text-align: left; font: 600 15px/1.4 {SANS}; padding-bottom: .5rem; }}
th, td {{ text-align: left; padding: .42rem 1.25rem .42rem 0; vertical-align: top;
  max-width: 26rem; }}
th, thead td {{ font-weight: 600; border-bottom: 1px solid var(--muted); vertical-align: bottom; }}
tbody td {{ border-bottom: 1px solid var(--rule); }}
th:last-child, td:last-child {{ padding-right: .4rem; }}
th.num, td.num {{ text-align: right; }}
td.long {{ min-width: 14rem; }}
.many th, .many td {{ padding-right: .85rem; }}
.many td.long {{ min-width: 12rem; }}
.interval, td.brief {{ white-space: nowrap; }}
.code {{ position: relative; margin: 1.2rem 0; }}
pre {{ margin: 0; padding: 1rem 1.1rem; background: var(--code); border-radius: 3px;
  overflow-x: auto; font: 13.5px/1.55 {MONO}; white-space: pre-wrap; }}
.code button {{ position: absolute; top: .55rem; right: .55rem; background: var(--code); }}
.code pre {{ padding-right: 5.2rem; }}
details {{ margin: 1rem 0 1.4rem; }}
summary {{ cursor: pointer; color: var(--muted); font: 500 13.5px/1.5 {SANS}; padding: .25rem 0; }}
summary:hover {{ color: var(--ink); }}
.drill {{ margin: .7rem 0 0; }}
.drill .wide {{ margin: .7rem 0; max-height: 22rem; overflow: auto; }}
.drill td:first-child {{ min-width: 11rem; }}
.lists {{ display: flex; flex-wrap: wrap; gap: .6rem 1.2rem; margin-top: .5rem;
  font: 13.5px/1.5 {SANS}; }}
select {{ font: 13.5px/1.4 {SANS}; color: var(--ink); background: var(--paper); max-width: 12rem;
  border: 1px solid var(--muted); border-radius: 3px; padding: .3em .4em; }}
.traces {{ margin: 1.4rem 0; }}
.legend {{ font: 13px/1.5 {SANS}; color: var(--muted); margin-bottom: 1rem; max-width: 46rem; }}
.legend .ramp {{ display: inline-flex; vertical-align: middle; margin: 0 .5em;
  border: 1px solid var(--rule); }}
.legend span:nth-child(3) {{ margin-right: .6em; }}
.ramp i {{ width: 7px; height: 12px; }}
.trace {{ border-top: 2px solid var(--ink); padding-top: .6rem; margin-bottom: 1.6rem; }}
.trace .prompt {{ font: 600 15px/1.4 {SANS}; margin-bottom: .6rem; max-width: none; }}
.strip {{ display: grid; grid-template-columns: 7.5rem minmax(0, 1fr); column-gap: 1rem;
  margin-bottom: .7rem; }}
.strip .kind {{ font: 13px/2.1 {SANS}; color: var(--muted); }}
.strip .tokens {{ font: 14px/2.05 {MONO}; margin: 0; max-width: none; white-space: pre-wrap; }}
.strip .reading {{ grid-column: 2; font: 13px/1.5 {SANS}; color: var(--muted);
  font-variant-numeric: tabular-nums; min-height: 1.5em; }}
.tok {{ padding: .22em .1em; border-radius: 2px; cursor: default; }}
.tok.trigger {{ text-decoration: underline 2px; text-underline-offset: 4px; font-weight: 700; }}
.tok.template, .tok.last {{ text-decoration: underline dotted 1px; text-underline-offset: 4px; }}
.tok:hover {{ outline: 1px solid var(--ink); }}
{LEVEL_RULES}
.problem {{ color: var(--muted); font: 14px/1.5 {SANS}; padding: 2rem 0; }}
@media (max-width: 900px) {{
  .page {{ display: block; padding: 0 1rem 3rem; }}
  body {{ font-size: 16.5px; }}
  header {{ padding: 1.6rem 0 1.1rem; }}
  h2 {{ margin-top: 2.8rem; }}
  nav {{ padding: 0; }}
  nav > div {{ position: static; margin-top: 1.6rem; border-bottom: 1px solid var(--rule);
    padding-bottom: .7rem; }}
  nav li a {{ padding: .4rem 0; font-size: 15px; }}
  .verdict {{ padding: 1.05rem 1.1rem 1rem; }}
  .strip {{ display: block; }}
  table {{ font-size: 13.5px; }}
  th, td {{ padding-right: .9rem; }}
  td.long {{ min-width: 11rem; }}
  .strip .kind {{ line-height: 1.6; }}
  button {{ padding: .75em .95em; }}
}}
@media (max-width: 900px) {{ .plots {{ grid-template-columns: minmax(0, 1fr); }}
  figure.half:not(.alone) {{ grid-column: 1 / -1; }} }}
/* A table of few columns fits a phone, if its text may wrap; others scroll. */
@media (max-width: 480px) {{ table:not(.many) td.long {{ min-width: 0; }} }}
@media (max-width: 480px) {{ dl {{ grid-template-columns: 1fr 1fr; gap: .8rem 1rem; }} }}
@media (prefers-reduced-motion: reduce) {{ html {{ scroll-behavior: auto; }} }}
@media print {{
  :root, :root[data-theme=dark], :root:not([data-theme=light]) {{ {_variables(False)} }}
  body {{ font-size: 10.5pt; background: #fff; }}
  .page {{ display: block; max-width: none; padding: 0; }}
  nav, button, .acts, .skip, .modebar-container {{ display: none !important; }}
  .plots {{ display: block; }}
  figure {{ break-inside: avoid; margin-bottom: 1.5rem; }}
  figure.half {{ max-width: 30rem; }}
  h2 {{ break-after: avoid; }}
  .verdict, tr {{ break-inside: avoid; }}
  .wide {{ overflow: visible; }}
}}
""".strip()

TONE_MARKS: dict[str, str] = {"gate": "●", "none": "○", "unclear": "◐"}  # not by colour alone
