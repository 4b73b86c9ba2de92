"""The app's style on top of the report's, so that both are visibly one product."""

from viz.page.style import CSS as REPORT
from viz.theme import BLUE, GREY, MONO, PURPLE, SANS, VERMILION, faded

_OWN = f"""
.app {{ max-width: 74rem; margin: 0 auto; padding: 0 1.5rem 4rem; }}
.app header {{ padding: 2.2rem 0 1rem; }}
.app h1 {{ font-size: clamp(1.5rem, 1.2rem + 1.4vw, 2rem); }}
.app h2 {{ margin: 2.8rem 0 .6rem; border-top: 2px solid var(--ink); padding-top: .6rem; }}
.lead {{ color: var(--muted); margin: .5rem 0 0; max-width: 52rem; font-size: .95rem; }}
.warn {{ border-left: 4px solid {VERMILION}; background: var(--wash); padding: .5rem .9rem;
  font: 14px/1.5 {SANS}; margin: .9rem 0 0; max-width: 52rem; }}
.controls {{ display: grid; grid-template-columns: minmax(0, 1.25fr) minmax(0, 1fr);
  gap: 1.1rem 2.4rem; font: 14px/1.5 {SANS}; }}
.controls > div > label, .field > label, .legend {{ display: block; font: 600 13px/1.5 {SANS};
  margin-bottom: .25rem; }}
.field {{ margin-bottom: .9rem; }}
textarea {{ width: 100%; min-height: 5.4rem; resize: vertical; padding: .7rem .8rem;
  font: 16px/1.5 {SANS}; color: var(--ink); background: var(--paper);
  border: 1px solid var(--muted); border-radius: 3px; }}
select {{ font: 14px/1.4 {SANS}; color: var(--ink); background: var(--paper); max-width: 100%;
  border: 1px solid var(--muted); border-radius: 3px; padding: .45em .5em; }}
.choices label {{ display: inline-flex; align-items: center; gap: .4em; margin: 0 1.1em .3em 0;
  font: 14px/1.5 {SANS}; color: var(--ink); }}
.choices input {{ accent-color: {PURPLE}; width: 1.05em; height: 1.05em; margin: 0; }}
.go {{ display: flex; flex-wrap: wrap; gap: .6rem; align-items: center; }}
button.primary {{ background: var(--ink); color: var(--paper); border-color: var(--ink);
  font-size: 14px; padding: .65em 1.3em; }}
button.primary:hover {{ color: var(--paper); opacity: .86; }}
button:disabled {{ opacity: .5; cursor: default; }}
.status, .hint {{ color: var(--muted); font: 13.5px/1.5 {SANS}; margin: 0; max-width: none; }}
.status {{ min-height: 1.5em; }}
.help {{ color: var(--muted); font: 13px/1.5 {SANS}; margin: .3rem 0 0; }}
.answers {{ display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1.6rem;
  margin-top: 1.2rem; }}
.answer {{ border: 1px solid var(--rule); border-top: 3px solid {GREY}; border-radius: 3px;
  padding: .9rem 1.1rem 1.1rem; min-width: 0; background: var(--paper); }}
.answer.edited {{ border-top-color: {PURPLE}; }}
.answer h3 {{ margin: 0 0 .6rem; font: 600 15px/1.4 {SANS}; }}
.answer h3 small {{ color: var(--muted); font: 400 13px/1.4 {SANS}; margin-left: .7em; }}
.answer p {{ max-width: none; margin: 0; }}
.answer .prompt {{ font: 13.5px/2 {MONO}; color: var(--ink); padding-bottom: .6rem;
  border-bottom: 1px dashed var(--rule); margin-bottom: .7rem; }}
.answer .said {{ font-size: 1.12rem; line-height: 1.9; min-height: 3.8em; }}
.token {{ position: relative; border-radius: 2px; padding: .12em 0; white-space: pre-wrap; }}
.token:hover, .token:focus-visible {{ outline: 1.5px solid var(--muted); outline-offset: 1px; }}
.token:hover::after, .token:focus-visible::after {{ content: attr(data-tip); position: absolute;
  left: 0; top: 100%; z-index: 5; background: var(--ink); color: var(--paper);
  font: 12.5px/1.4 {SANS}; padding: .3em .6em; border-radius: 3px; white-space: pre;
  pointer-events: none; }}
.scale {{ display: flex; align-items: center; gap: .6rem; flex-wrap: wrap;
  font: 12.5px/1.4 {SANS}; color: var(--muted); margin-top: .8rem; }}
.scale i {{ display: block; width: 9rem; height: .7rem; border-radius: 2px;
  background: linear-gradient(90deg, {faded(BLUE, 0.42)}, transparent, {faded(VERMILION, 0.42)});
  border: 1px solid var(--rule); }}
.two {{ display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1.6rem; }}
.two > div {{ min-width: 0; }}
progress {{ width: 14rem; max-width: 100%; accent-color: {PURPLE}; }}
.swatch {{ display: inline-block; width: .75em; height: .75em; border-radius: 2px;
  margin-right: .5em; }}
.top code, code {{ font: 13px/1.5 {MONO}; }}
.app table th[scope=row] {{ white-space: nowrap; border-bottom: 1px solid var(--rule); }}
.app .js-plotly-plot {{ width: 100%; }}
.examples {{ display: flex; flex-wrap: wrap; gap: .35rem; }}
.examples button {{ white-space: normal; text-align: left; line-height: 1.35; }}
.dash-slider-mark, .dash-slider-mark-outside-selection {{ color: var(--muted) !important; }}
.controls.three {{ grid-template-columns: repeat(3, minmax(0, 1fr)); margin-top: .8rem; }}
/* Ask stands under the prompts, beside the controls; on a phone after them. */
.asking {{ grid-template-rows: auto 1fr; }}
.asking > div:nth-child(2) {{ grid-row: span 2; }}
.asking > .go {{ align-self: start; }}
.hint + .go {{ margin: .7rem 0 1rem; }}
.go + .field {{ margin-top: 1.1rem; }}
body > footer {{ display: none; }}
.app, .dash-slider-container, .dash-dropdown {{
  --Dash-Fill-Interactive-Strong: {PURPLE}; --Dash-Fill-Inverse-Strong: var(--paper);
  --Dash-Text-Primary: var(--ink); --Dash-Text-Strong: var(--ink); --Dash-Text-Weak: var(--muted);
  --Dash-Stroke-Strong: var(--muted); --Dash-Stroke-Weak: var(--rule);
  --Dash-Text-Disabled: var(--muted); --Dash-Fill-Disabled: var(--rule);
  --Dash-Fill-Primary-Hover: var(--wash);
  --Dash-Fill-Primary-Active: var(--wash); --Dash-Fill-Interactive-Weak: var(--wash); }}
@media (max-width: 900px) {{
  .app {{ padding: 0 1rem 3rem; }}
  .controls, .controls.three, .answers, .two {{ grid-template-columns: minmax(0, 1fr); }}
  .asking > div:nth-child(2) {{ grid-row: auto; }}
  .answers {{ gap: 1rem; }}
  .app header {{ padding: 1.3rem 0 .8rem; }}
  .token:hover::after, .token:focus-visible::after {{ position: fixed; top: auto; bottom: .6rem;
    left: .6rem; right: .6rem; white-space: pre-wrap; }}
}}
"""

CSS = f"{REPORT}\n{_OWN.strip()}"

# Theme before the first paint, a tab's own name, and the theme button; no page of ours has other
# scripts of its own. A tab keeps its name over a reload (sessionStorage).
SCRIPT = """
(() => {
  const root = document.documentElement;
  const kept = localStorage.getItem('gatescope-theme');
  if (kept) root.dataset.theme = kept;
  const dark = () => root.dataset.theme ? root.dataset.theme === 'dark'
    : matchMedia('(prefers-color-scheme: dark)').matches;
  const tab = () => {
    let name = sessionStorage.getItem('gatescope-tab');
    if (!name) {
      name = Array.from(crypto.getRandomValues(new Uint8Array(16)),
        b => b.toString(16).padStart(2, '0')).join('');
      sessionStorage.setItem('gatescope-tab', name);
    }
    return name;
  };
  // Dash's radio lists and sliders have no accessible names; give them their fields' labels.
  const name = () => document.querySelectorAll('.field').forEach(field => {
    const label = field.querySelector('label, .legend')?.textContent || 'open the gate';
    field.querySelectorAll('[role=slider]').forEach(x => x.setAttribute('aria-label', label));
    field.querySelectorAll('[role=option], label[aria-selected]').forEach(x => {
      x.removeAttribute('role');  // a label with a native input in it is no option of a list box
      x.removeAttribute('aria-selected');
    });
    field.querySelectorAll('[role=listbox]').forEach(x => {
      x.setAttribute('role', x.classList.contains('dash-radioitems') ? 'radiogroup' : 'group');
      x.setAttribute('aria-label', label);
    });
  });
  new MutationObserver(name).observe(root,
    {childList: true, subtree: true, attributeFilter: ['aria-selected']});
  window.dash_clientside = Object.assign({}, window.dash_clientside, {gatescope: {
    tab: () => tab(),
    theme: clicks => {
      if (clicks) {
        root.dataset.theme = dark() ? 'light' : 'dark';
        localStorage.setItem('gatescope-theme', root.dataset.theme);
      }
      return dark();
    },
  }});
})();
""".strip()
