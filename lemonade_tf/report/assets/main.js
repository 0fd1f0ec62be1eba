// The page: its controls and sections, and new data from `lemonade-tf watch`.
const REFRESH = 3000; // milliseconds
const page = {
  data: JSON.parse(document.getElementById("data").textContent),
  view: { x: null, y: "error", logX: true, logY: true, all: true, limits: {}, selected: null },
  objective(name) { return this.data.objectives.find(o => o.name === name); },
  fits(i) {
    return Object.entries(this.view.limits).every(([name, most]) => this.data.values[name][i] <= most);
  },
  describe(i) {
    const { data } = this;
    const lines = data.objectives.map(o => {
      const value = data.values[o.name][i], range = intervalText(data, o.name, value);
      return `${o.title} ${formatValue(o, value)}${range ? ` (${range})` : ""}`;
    });
    if (data.test[i] !== null) lines.push(`test error ${percent(data.test[i])}`);
    return [data.ids[i], ...lines].join("\n");
  },
  tip(i, x, y) {
    const box = document.getElementById("tip");
    box.hidden = i === null;
    if (i === null) return;
    box.textContent = this.describe(i);
    const picture = document.querySelector("#plot svg"), scale = picture.clientWidth / picture.viewBox.baseVal.width;
    const left = Math.min(x * scale + 14, picture.clientWidth - box.offsetWidth);
    box.style.left = `${Math.max(0, left)}px`;
    box.style.top = `${y * scale + 14}px`;
  },
  select(id) {
    this.view.selected = id;
    history.replaceState(null, "", `#${id}`);
    this.show();
    document.getElementById("details-title")?.focus({ preventScroll: true });
    document.getElementById("details").scrollIntoView({ block: "nearest" });
    document.getElementById("said").textContent = `Network ${id} is shown below the table.`;
  },
  show() {
    keeping(() => {
      this.tip(null);
      document.querySelector("#plot svg")?.remove();
      if (this.data.ids.length) document.getElementById("plot").prepend(drawPlot(this));
      document.getElementById("front").replaceChildren(frontTable(this));
      document.getElementById("details").replaceChildren(...drawDetails(this, this.view.selected));
    });
  },
};

// Replace parts of the page. The focus, what is open and what was scrolled stay, by `data-focus`.
function keeping(replace) {
  const keyed = () => document.querySelectorAll("[data-focus]");
  const focus = document.activeElement?.dataset?.focus;
  const before = new Map([...keyed()].map(each => [each.dataset.focus, [each.scrollLeft, each.scrollTop, each.open]]));
  replace();
  for (const each of keyed()) {
    const [left, top, open] = before.get(each.dataset.focus) || [0, 0, false];
    if (left || top) [each.scrollLeft, each.scrollTop] = [left, top];
    if (open) each.open = true;
    if (each.dataset.focus === focus) each.focus({ preventScroll: true });
  }
}

function frontTable(page) {
  const { data, view } = page;
  const header = ["id", ...data.objectives.map(o => o.title), "test error", "note", "made by"];
  header.splice(2, 0, "95 % interval"); // of the validation error, the first objective
  const body = data.front.map(i => {
    const id = data.ids[i], note = [id === data.knee ? "knee" : "", id === data.best ? "lowest error" : "",
      page.fits(i) ? "" : "does not fit"];
    const made = data.operators[i].map(o => data.operator_names[o]).join(", ") || "initial network";
    const cells = [element("button", { onclick: () => page.select(id), "data-focus": `row-${id}`,
      "aria-label": `Show network ${id}` }, id), ...data.objectives.map(o => formatValue(o, data.values[o.name][i])),
      percent(data.test[i]), note.filter(Boolean).join(", "), made];
    cells.splice(2, 0, intervalText(data, "error", data.values.error[i]));
    return element("tr", { class: page.fits(i) ? null : "off", "aria-current": id === view.selected ? "true" : null },
      ...cells.map((cell, k) => element(k ? "td" : "th", { scope: k ? null : "row",
        class: k >= cells.length - 2 ? "text" : null }, cell)));
  });
  const fitting = data.front.filter(i => page.fits(i)).length;
  const remark = data.remark ? `; ${data.remark}` : "";
  return element("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "The front as a table",
    "data-focus": "front-table" },
    element("table", {}, element("caption", { class: "soft" }, `${fitting} of ${data.front.length} networks fit${remark}.`),
      element("thead", {}, element("tr", {}, ...header.map((name, k) =>
        element("th", { scope: "col", class: k >= header.length - 2 ? "text" : null }, name)))),
      element("tbody", {}, ...body)));
}

function controls(page) {
  const { data, view } = page;
  const choice = (key, label) => element("label", {}, label, element("select", { "data-focus": `select-${key}`,
    onchange: event => { view[key] = event.target.value; page.show(); } },
    ...data.objectives.map(o => element("option", { value: o.name, selected: o.name === view[key] }, o.title))));
  const box = (key, label) => element("label", {}, element("input", { type: "checkbox", checked: view[key],
    onchange: event => { view[key] = event.target.checked; page.show(); } }), label);
  const most = objective => element("label", {}, `${objective.title} ≤`, element("input", { type: "text",
    inputmode: "decimal", placeholder: "any", autocomplete: "off", oninput: event => {
      const text = event.target.value.trim(), value = parseFloat(text) / (text.endsWith("%") ? 100 : 1);
      if (Number.isFinite(value)) view.limits[objective.name] = value;
      else delete view.limits[objective.name];
      page.show();
      document.getElementById("said").textContent = document.querySelector("caption").textContent;
    } }));
  return [element("fieldset", {}, element("legend", {}, "Plot"), choice("y", "Vertical"), choice("x", "Horizontal"),
    box("logY", "log vertical"), box("logX", "log horizontal"), box("all", "all networks")),
    element("fieldset", {}, element("legend", {}, "At most"), ...data.objectives.map(most))];
}

function overview(data) {
  const p = data.progress, left = data.state === "running" ? `, about ${duration(p.seconds_left)} left` : "";
  document.getElementById("state").textContent = `${data.state[0].toUpperCase()}${data.state.slice(1)}: generation `
    + `${p.generation} of ${p.num_generations}, ${p.trained} networks trained of ${p.expected}, ${p.failed} failed${left}. `
    + `As of ${new Date(1000 * data.updated).toLocaleString()}.`;
  const bar = document.getElementById("progress");
  bar.max = p.expected;
  bar.value = p.trained + p.failed;
  const total = Object.values(data.phases).reduce((sum, s) => sum + s, 0) || 1;
  document.getElementById("rest").replaceChildren(
    element("h2", {}, "Operators"),
    element("p", { class: "soft" }, "Children count for each of their operators. Entered: not dominated by any network before."),
    table("Operators", ["operator", "proposed", "trained", "entered the front", "share", "on the front now"],
      data.operator_counts.map(([name, proposed, trained, entered, now]) =>
        [name, proposed ?? "", trained, entered, trained ? percent(entered / trained, 0) : "", now])),
    element("div", { class: "columns" },
      element("div", {}, element("h2", {}, "Seconds by phase"), table("Seconds by phase", ["phase", "time", "share"],
        Object.entries(data.phases).map(([name, s]) => [name, duration(s), percent(s / total, 0)]))),
      data.hypervolume.length ? element("div", {}, element("h2", {}, "Hypervolume by trained networks"),
        lineChart([[data.hypervolume, ""]], `Hypervolume, at last ${data.hypervolume.at(-1)}`)) : null),
    ...(data.failures.length ? [element("h2", {}, "Failures"), table("Failures", ["network", "reason"], data.failures, [1])] : []),
    element("h2", {}, "Command"), element("pre", {}, data.command),
    element("details", { "data-focus": "settings" },
      element("summary", { "data-focus": "settings-title" }, "All settings and versions"),
      table("Settings and versions", ["setting", "value"], Object.entries(data.settings), [1])));
}

function start() {
  const { data, view } = page;
  view.x = data.objectives.find(o => o.name !== "error").name;
  view.logX = data.objectives.find(o => o.name === view.x).scale === "log";
  view.selected = data.ids.includes(location.hash.slice(1)) ? location.hash.slice(1) : data.knee;
  document.getElementById("controls").replaceChildren(...controls(page));
  overview(data);
  page.show();
  document.addEventListener("keydown", event => { if (event.key === "Escape") page.tip(null); });
  let narrow = window.innerWidth < 640;
  window.addEventListener("resize", () => {
    if (narrow !== (window.innerWidth < 640)) { narrow = !narrow; page.show(); }
  });
  if (document.body.dataset.live !== undefined) setInterval(refresh, REFRESH);
}

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch("data.json", { headers: { "If-None-Match": page.tag || "" }, cache: "no-store" });
    if (answer.status !== 200) return;
    page.tag = answer.headers.get("ETag");
    page.data = await answer.json();
    keeping(() => {
      overview(page.data);
      page.show();
    });
  } catch (error) {
    document.getElementById("state").textContent = "lemonade-tf watch has ended; this is its last page.";
  }
}
start();
