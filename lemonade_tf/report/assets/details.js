// One network: values, drawing, lineage, training, files and commands.
function drawDetails(page, id) {
  const { data } = page, i = data.ids.indexOf(id);
  if (i < 0) return [element("p", { class: "soft" }, "Choose a network in the plot or the table.")];
  const rows = data.objectives.map(o => [o.title, formatValue(o, data.values[o.name][i]),
    intervalText(data, o.name, data.values[o.name][i])]);
  for (const m of data.measured)
    if (id in m.values) rows.push([`${m.title}, measured`, formatValue(m, m.values[id]), ""]);
  if (data.test[i] !== null)
    rows.push(["test error", percent(data.test[i]), intervalText(data, "test_error", data.test[i])]);
  const left = [table(`Objectives of ${id}`, ["objective", "value", "95 % interval"], rows), element("h3", {}, "Lineage"), lineage(page, i)];
  const losses = data.losses[id];
  if (losses && losses[0].length) {
    left.push(element("h3", {}, "Training loss by epoch"));
    const series = [[losses[0], ""], [losses[1], "second"]].filter(([values]) => values.length);
    const last = losses[0].length ? losses[0][losses[0].length - 1] : null;
    left.push(lineChart(series, `Training loss of ${id} over ${losses[0].length} epochs, at last ${last}`, true));
    if (losses[1].length) left.push(element("p", { class: "soft" }, "Dashed: distillation before it."));
  }
  const { drawing, classes } = data.files[id] || {};
  if (classes && classes.length) left.push(...classErrors(data, classes));
  const right = [element("h3", {}, "Architecture")];
  right.push(drawing ? element("div", { class: "drawing", tabindex: 0, role: "region",
    "data-focus": `drawing-${id}`, "aria-label": `Architecture of ${id}` }, drawArchitecture(drawing, id))
    : element("p", { class: "soft" }, "Not drawn: only networks of the front are."));
  right.push(element("h3", {}, "Files and commands"), element("pre", {}, commands(data, id, data.front.includes(i))));
  const where = data.front.includes(i) ? "on the front" : "not on the front";
  const marks = [id === data.knee ? "the knee" : null, id === data.best ? "the lowest error" : null];
  return [element("h2", { id: "details-title", tabindex: -1, "data-focus": "details-title" }, `Network ${id}`),
    element("p", { class: "soft" }, `Generation ${id.split("-")[0]}, ${[where, ...marks].filter(Boolean).join(", ")}`),
    element("div", { class: "columns" }, element("div", {}, ...left), element("div", {}, ...right))];
}

function classErrors(data, classes) {
  const rows = classes.map(([name, wrong, images]) =>
    [name, `${wrong} of ${images}`, percent(wrong / images, 1), rangeText(wrong / images, images)]);
  const which = rows.length < data.num_classes ? `The ${rows.length} of ${data.num_classes} classes with the highest errors.`
    : "The highest first.";
  return [element("h3", {}, "Validation errors by class"), element("p", { class: "soft" }, which),
    table("Validation errors by class", ["class", "misclassified", "error", "95 % interval"], rows)];
}

function rangeText(error, images) {
  const [low, high] = interval(error, images);
  return `${percent(low, 1)} to ${percent(high, 1)}`;
}

function intervalText(data, name, value) {
  return data.images[name] ? rangeText(value, data.images[name]) : "";
}

// A table whose first column names the rows.
function table(title, header, rows, text = []) {
  const cell = (scope, value, k) => element(scope ? "th" : "td", { class: text.includes(k) ? "text" : null, scope }, value);
  return element("div", { class: "scroll", role: "region", "aria-label": title, "data-focus": title }, element("table", {},
    element("thead", {}, element("tr", {}, ...header.map((name, k) => cell("col", name, k)))),
    element("tbody", {}, ...rows.map(row => element("tr", {}, ...row.map((v, k) => cell(k ? null : "row", v, k)))))));
}

function lineage(page, i) {
  const { data } = page, chain = [];
  for (let k = i; k !== null && k >= 0 && chain.length < 1000; k = data.parents[k]) chain.unshift(k);
  const error = page.objective("error");
  return element("ol", { class: "lineage" }, ...chain.map(k => {
    const made = data.sites[data.ids[k]] || data.operators[k].map(o => data.operator_names[o]);
    return element("li", {},
      element("button", { onclick: () => page.select(data.ids[k]), "data-focus": `line-${data.ids[k]}` }, data.ids[k]),
      ` ${formatValue(error, data.values.error[k])}: ${made.join(", ") || "initial network"}`);
  }));
}

function commands(data, id, onFront) {
  const file = `models/${id}.h5`;
  const load = `import keras\nmodel = keras.models.load_model(${JSON.stringify(`${data.folder}/${file}`)})\n`;
  const lines = data.commands.map(words => words.replaceAll("{id}", id)).join("\n");
  return onFront ? `# ${file}, in the run folder\n${load}\n${lines}` : `# Only with --keep_all or pinned: ${file}\n${lines}`;
}

function drawArchitecture(drawing, id) {
  const { width, height, boxes, routes } = drawing;
  const picture = element("svg", { viewBox: `-8 -8 ${width + 16} ${height + 16}`, width: width + 16,
    height: height + 16, role: "img",
    "aria-label": `${id}: ${boxes.map(([, , , , , ...lines]) => lines.filter(Boolean).join(" ")).join("; ")}` });
  for (const route of routes) {
    const [ex, ey] = route.slice(-2);
    picture.append(element("path", { class: "route", d: `M${route.join(" ")}` }),
      element("path", { class: "route", d: `M${ex - 3} ${ey - 6}L${ex} ${ey}L${ex + 3} ${ey - 6}` }));
  }
  for (const [x, y, w, h, kind, title, detail] of boxes)
    picture.append(element("rect", { class: `box ${kind}`, x: x - w / 2, y: y - h / 2, width: w, height: h, rx: 4 }),
      element("text", { x, y: detail ? y - 2 : y + 4, "text-anchor": "middle" }, title),
      detail ? element("text", { class: "soft", x, y: y + 13, "text-anchor": "middle" }, detail) : null);
  return picture;
}
