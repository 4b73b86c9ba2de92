// The theme before the first paint, a tab's own name, and the theme button; the app's pages have no
// other script of ours. A tab keeps its name over a reload (sessionStorage).
(() => {
  const root = document.documentElement;
  const kept = localStorage.getItem("gatescope-theme");
  if (kept) root.dataset.theme = kept;
  const dark = () =>
    root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
  const tab = () => {
    let name = sessionStorage.getItem("gatescope-tab");
    if (!name) {
      name = Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) =>
        b.toString(16).padStart(2, "0"),
      ).join("");
      sessionStorage.setItem("gatescope-tab", name);
    }
    return name;
  };
  // Dash's radio lists and sliders have no accessible names; give them their fields' labels.
  const name = () =>
    document.querySelectorAll(".field").forEach((field) => {
      const label = field.querySelector("label, .legend")?.textContent || "open the gate";
      field.querySelectorAll("[role=slider]").forEach((x) => {
        x.setAttribute("aria-label", label);
      });
      field.querySelectorAll("[role=option], label[aria-selected]").forEach((x) => {
        x.removeAttribute("role"); // a label with a native input in it is no option of a list box
        x.removeAttribute("aria-selected");
      });
      field.querySelectorAll("[role=listbox]").forEach((x) => {
        x.setAttribute("role", x.classList.contains("dash-radioitems") ? "radiogroup" : "group");
        x.setAttribute("aria-label", label);
      });
    });
  new MutationObserver(name).observe(root, {
    childList: true,
    subtree: true,
    attributeFilter: ["aria-selected"],
  });
  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    gatescope: {
      tab: () => tab(),
      theme: (clicks) => {
        if (clicks) {
          root.dataset.theme = dark() ? "light" : "dark";
          localStorage.setItem("gatescope-theme", root.dataset.theme);
        }
        return dark();
      },
    },
  });
})();
